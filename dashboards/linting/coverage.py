"""Whether every metric of the catalogue is looked at: in a panel, in a rule, or for a stated reason by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.catalogue import family_of
from dashboards.linting.findings import Finding
from dashboards.linting.promql import parsed, selectors
from gateway.signals.catalogue import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

UNSEEN: Final[Mapping[str, str]] = {
    "pointsman_attempt_tokens": "kept only where metrics are sent by OTLP, for backends that want it",
}
"""Metrics that no board shows, and why."""


def named_in(exprs: Iterable[str]) -> set[str]:
    """The families that queries ask for."""
    families = (family_of(selector.name or "") for expr in exprs for selector in selectors(parsed(expr)))
    return {family.name for family in families if family is not None}


def uncovered(exprs: Iterable[str]) -> Iterator[Finding]:
    """Metrics that nobody looks at, and reasons that are not needed any more."""
    seen = named_in(exprs)
    for name in sorted(FAMILIES.keys() - seen - UNSEEN.keys()):
        yield Finding("coverage", name, "no panel and no rule looks at it")
    for name in sorted(UNSEEN.keys() & seen):
        yield Finding("coverage", name, "it is said that nobody looks at it, and somebody does")
    for name in sorted(UNSEEN.keys() - FAMILIES.keys()):
        yield Finding("coverage", name, "there is no such metric any more")
