"""The words of the commands that go through the admin API: `keys`, `orgs`, `teams`, `users`, `limits` and `cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.commands.cache_words import add_cache_words
from gateway.commands.where_words import where_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name
    Leaf = Callable[[str, str], argparse.ArgumentParser]

SCOPES: Final = ("key", "user", "team", "org", "route", "deployment", "provider")


def add_admin_words(commands: Verbs, keys: Verbs) -> None:
    """Adds to the top commands, and to what there is under `keys`."""
    _add_keys(_leaves(keys, "keys"))
    _add_orgs(_leaves(_verbs(commands, "orgs", "tenants"), "orgs"))
    for several, one in (("teams", "team"), ("users", "user")):
        _add_members(_leaves(_verbs(commands, several, f"{several} of orgs"), several), one)
    limits = commands.add_parser(
        "limits", help="what is used and left of each limit", parents=[where_options()], allow_abbrev=False
    )
    limits.add_argument("--org", metavar="ORG")
    limits.add_argument("--scope", choices=SCOPES)
    limits.add_argument("--holder", metavar="NAME")
    limits.set_defaults(run=_run, act="limits")
    cache = _verbs(commands, "cache", "answers that are given again")
    add_cache_words(_leaves(cache, "cache"), lambda verb, said: cache.add_parser(verb, help=said))


def _add_keys(leaf: Leaf) -> None:
    listing = leaf("list", "keys of the store, in the order of their creation")
    for name in ("org", "team", "user", "tag"):
        listing.add_argument(f"--{name}", metavar=name.upper())
    listing.add_argument("--all", action="store_true", help="revoked keys too")
    create = leaf("create", "make a key; the key alone goes to standard output, once")
    create.add_argument("--name", required=True, metavar="NAME")
    for name in ("org", "env"):
        create.add_argument(f"--{name}", metavar=name.upper())
    _add_terms(create)
    change = _named(leaf("change", "give a key other terms; what is not said stays, lists are replaced whole"))
    change.add_argument("--name", metavar="NAME", help="what it is called from now on")
    text = "an option such as expires: back to what it is where nobody says anything; may be repeated"
    change.add_argument("--unset", action="append", default=[], metavar="OPTION", help=text)
    _add_terms(change)
    for verb, said in (
        ("show", "one key"),
        ("rotate", "give a key a new secret; it alone goes to standard output, once"),
        ("disable", "refuse a key until it is enabled"),
        ("enable", "accept a disabled key again"),
        ("revoke", "refuse a key for good"),
    ):
        one = _named(leaf(verb, said))
        if verb == "rotate":
            text = "how long the secret before still works, as 24h; 0s: no longer"
            one.add_argument("--overlap", required=True, metavar="TIME", help=text)


def _named(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
    one.add_argument("key", metavar="KEY", help="its public id, or its name")
    one.add_argument("--org", default="default", metavar="ORG", help="of which KEY is a name")
    return one


def _add_terms(key: argparse.ArgumentParser) -> None:
    for name in ("team", "user"):
        key.add_argument(f"--{name}", metavar=name.upper())
    for name, metavar, said in (
        ("route", "MODEL", "what it may ask for; all routes without one"),
        ("network", "CIDR", "from where it may be used; anywhere without one"),
        ("tag", "TAG", "for chargeback"),
        ("data-class", "CLASS", "binds whoever answers: cleared for it"),
        ("limit", "RESOURCE=AMOUNT", "such as tokens=100k/min, concurrent=4 or cost='20 USD/month'"),
    ):
        key.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=f"{said}; may be repeated")
    key.add_argument("--output-tokens", type=int, metavar="N", help="stands in for a max_tokens that callers left out")
    key.add_argument("--require-region", metavar="REGION", help="binds whoever answers: in it, as eu or eu-west-1")
    key.add_argument("--priority", metavar="WORD", help="low, normal, high or critical: who is served first")
    key.add_argument("--no-cache", action="store_true", help="no cache answers its calls, or keeps answers to them")
    said = "the most that traces may show of what is said: none, hash, redacted or full"
    key.add_argument("--content", metavar="LEVEL", help=said)
    key.add_argument("--cost-in-body", action="store_true", help="its answers say in their usage what they cost")
    said = "its calls go on the trace that their traceparent names"
    key.add_argument("--trust-trace-context", action="store_true", help=said)
    key.add_argument("--expires", metavar="WHEN", help="a date, a time, or a span such as 90d")


def _add_orgs(leaf: Leaf) -> None:
    leaf("list", "all orgs of the store")
    for verb, said in (("create", "make an org"), ("change", "give an org another time zone or weight")):
        one = leaf(verb, said)
        one.add_argument("name", metavar="NAME")
        one.add_argument("--timezone", metavar="ZONE", help="where its days and months begin, as Europe/Berlin")
        one.add_argument("--weight", type=int, metavar="N", help="its share of a queue")
    for verb, said in (("show", "one org"), ("delete", "delete an empty org")):
        leaf(verb, said).add_argument("name", metavar="NAME")


def _add_members(leaf: Leaf, one: str) -> None:
    leaf("list", f"all {one}s of the store").add_argument("--org", metavar="ORG")
    for verb, said in (("create", f"make a {one}"), ("show", f"one {one}"), ("delete", f"delete a {one} without keys")):
        member = leaf(verb, said)
        member.add_argument("name", metavar="NAME")
        member.add_argument("--org", default="default", metavar="ORG")


def _verbs(commands: Verbs, name: str, said: str) -> Verbs:
    return commands.add_parser(name, help=said).add_subparsers(required=True, metavar="COMMAND")


def _leaves(verbs: Verbs, noun: str) -> Leaf:
    def leaf(verb: str, said: str) -> argparse.ArgumentParser:
        # Whole words only: `--token SECRET` must not pass for `--token-file`.
        made = verbs.add_parser(verb, help=said, parents=[where_options()], allow_abbrev=False)
        made.set_defaults(run=_run, act=f"{noun} {verb}")
        return made

    return leaf


def _run(arguments: argparse.Namespace) -> int:
    from gateway.commands import administer  # noqa: PLC0415 - each command pays for its own imports only

    return administer.run(arguments)
