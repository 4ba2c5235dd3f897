"""Checks of what is shared: who belongs to whom, and that several workers or nodes keep their state where all see it.

Like `names`, these read the plain values, so that one mistake in the file does not hide another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.names import entries
from gateway.config.owners import DEFAULT_ORG
from gateway.config.problems import Severity, did_you_mean, written
from gateway.config.storage import MEMORY
from gateway.extras import POSTGRES, REDIS, is_installed, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.names import Finding
    from gateway.config.problems import Place
    from gateway.config.tree import Tree


def check_sharing(tree: Tree) -> Iterator[Finding]:
    """All findings about owners, workers and nodes."""
    yield from _declared(tree)
    yield from _one_org_each(tree)
    yield from _several(tree)


def _section(tree: Tree, name: str) -> dict[str, Any]:
    value = tree.values.get(name)
    return value if isinstance(value, dict) else {}


def _declared(tree: Tree) -> Iterator[Finding]:
    """Orgs are declared but for the default one; teams are, where any is."""
    orgs, teams = [*_section(tree, "orgs"), DEFAULT_ORG], _section(tree, "teams")
    for section in ("teams", "users", "keys"):
        for place, body in entries(tree, section):
            yield from _known(tree, (*place, "org"), body.get("org"), orgs)
            if section == "keys" and teams:
                yield from _known(tree, (*place, "team"), body.get("team"), [*teams])


def _known(tree: Tree, place: Place, name: object, known: list[str]) -> Iterator[Finding]:
    if not isinstance(name, str) or not name or name in known:
        return
    noun = place[-1]
    said = f"'{name}'{did_you_mean(name, known)}" if place not in tree.from_references else "of this name"
    yield place, f"there is no {noun} {said}: declare it under {noun}s", Severity.ERROR


def _one_org_each(tree: Tree) -> Iterator[Finding]:
    """A key, its team and its user are of one org."""
    for place, body in entries(tree, "keys"):
        said = [((*place, "org"), body["org"])] if "org" in body else []
        for section, noun in (("teams", "team"), ("users", "user")):
            name = body.get(noun)
            owner = _section(tree, section).get(name) if isinstance(name, str) else None
            if isinstance(owner, dict):
                said.append(((section, str(name)), owner.get("org", DEFAULT_ORG)))
        for where, org in said[1:]:
            if org != said[0][1]:
                message = f"is of another org than {written(said[0][0])} says: see {written(where)}"
                yield (*place, str(where[0]).rstrip("s")), message, Severity.ERROR


def _several(tree: Tree) -> Iterator[Finding]:
    state, ledger, server = (_section(tree, name) for name in ("state", "ledger", "server"))
    in_memory = state.get("url", MEMORY) == MEMORY
    is_sqlite = str(ledger.get("url", "sqlite:")).startswith("sqlite:")
    if _above_one(server.get("workers")) and in_memory:
        message = "several workers need a shared state (state.url: redis://...): each would grant every limit again"
        yield ("server", "workers"), message, Severity.ERROR
    if _above_one(state.get("nodes")):
        if in_memory:
            message = "several nodes need a shared state (url: redis://...): each would grant every limit again"
            yield ("state", "nodes"), message, Severity.ERROR
        if is_sqlite:
            message = (
                "several nodes need a ledger in postgresql://...: the keys and sums of a SQLite file are one machine's"
            )
            yield ("state", "nodes"), message, Severity.ERROR
    if not in_memory and not is_installed(REDIS):
        yield ("state", "url"), remedy(REDIS), Severity.WARNING
    if not is_sqlite and not is_installed(POSTGRES):
        yield ("ledger", "url"), remedy(POSTGRES), Severity.WARNING


def _above_one(value: object) -> bool:
    return isinstance(value, int | str) and str(value).isdecimal() and len(str(value)) < 19 and int(value) > 1
