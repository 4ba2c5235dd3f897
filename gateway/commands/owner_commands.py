"""`pointsman orgs|teams|users|limits ...` on top of the admin API."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from gateway.commands.admin_client import CommandError
from gateway.commands.shown import Shown, path_of, query_of
from gateway.signals.telemetry import NANO

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from gateway.commands.admin_client import AdminClient

ORG_HEADS: Final = ("NAME", "TIMEZONE", "WEIGHT")
MEMBER_HEADS: Final = ("ORG", "NAME")
LIMIT_HEADS: Final = ("ORG", "SCOPE", "HOLDER", "COUNTS", "WINDOW", "LIMIT", "USED", "HELD", "LEFT", "FULL IN", "ID")


def list_orgs(client: AdminClient, _: argparse.Namespace) -> Shown:
    body = client.ask("GET", path_of("orgs")).body
    return Shown(body, ORG_HEADS, [_org(org) for org in body["orgs"]])


def create_org(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    org = client.ask("POST", path_of("orgs"), {"name": arguments.name} | _terms(arguments)).body
    return Shown(org, ORG_HEADS, [_org(org)])


def change_org(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    terms = _terms(arguments)
    if not terms:
        raise CommandError("say what is to be different: --timezone or --weight", 2)
    now = client.ask("GET", path_of("orgs", arguments.name))
    org = client.ask("PATCH", path_of("orgs", arguments.name), terms, now.etag).body
    return Shown(org, ORG_HEADS, [_org(org)])


def show_org(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    org = client.ask("GET", path_of("orgs", arguments.name)).body
    return Shown(org, ORG_HEADS, [_org(org)])


def delete_org(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    client.ask("DELETE", path_of("orgs", arguments.name))
    return Shown(None, note=f"org {arguments.name} deleted")


def list_members(several: str, client: AdminClient, arguments: argparse.Namespace) -> Shown:
    body = client.ask("GET", path_of(several) + query_of({"org": arguments.org})).body
    return Shown(body, MEMBER_HEADS, [_member(member) for member in body[several]])


def create_member(several: str, client: AdminClient, arguments: argparse.Namespace) -> Shown:
    member = client.ask("POST", path_of(several), {"org": arguments.org, "name": arguments.name}).body
    return Shown(member, MEMBER_HEADS, [_member(member)])


def show_member(several: str, client: AdminClient, arguments: argparse.Namespace) -> Shown:
    member = client.ask("GET", path_of(several, arguments.org, arguments.name)).body
    return Shown(member, MEMBER_HEADS, [_member(member)])


def delete_member(several: str, client: AdminClient, arguments: argparse.Namespace) -> Shown:
    client.ask("DELETE", path_of(several, arguments.org, arguments.name))
    return Shown(None, note=f"{several.removesuffix('s')} {arguments.name} deleted")


def show_limits(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    wanted: dict[str, object] = {name: getattr(arguments, name) for name in ("org", "scope", "holder")}
    body = client.ask("GET", path_of("limits") + query_of(wanted)).body
    note = "" if body["limits"] else "nothing was counted under any limit yet"
    return Shown(body, LIMIT_HEADS, [_level(level) for level in body["limits"]], note=note)


def amount(value: int | None, resource: str) -> str | None:
    """As people read it: USD for nano-USD."""
    if value is None:
        return None
    if resource != "cost":
        return str(value)
    usd = f"{value / NANO:.6f}".rstrip("0").rstrip(".")
    return f"{usd} USD"


def span(seconds: float) -> str:
    """A time to come in its two largest units: `8d 18h`, `3m 20s`, `4s`."""
    whole = ceil(seconds)
    parts: list[str] = []
    for unit, length_s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, length_s)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "now"


def _level(level: dict[str, Any]) -> Sequence[object]:
    resource = level["resource"]
    amounts = [amount(level[name], resource) for name in ("amount", "used", "held", "remaining")]
    window = level["window"]
    shown = f"{window:g} s" if isinstance(window, int | float) else (window or "at once")
    who = [level["org"], level["scope"], level["holder"]]
    return [*who, resource, shown, *amounts, span(level["reset_s"]), level["limit"]]


def _terms(arguments: argparse.Namespace) -> dict[str, object]:
    given: dict[str, object] = {"timezone": arguments.timezone, "weight": arguments.weight}
    return {name: value for name, value in given.items() if value is not None}


def _org(org: dict[str, Any]) -> list[object]:
    return [org["name"], org["timezone"], org["weight"]]


def _member(member: dict[str, Any]) -> list[object]:
    return [member["org"], member["name"]]


ACTS: Final[dict[str, Callable[[AdminClient, argparse.Namespace], Shown]]] = {
    "orgs list": list_orgs,
    "orgs create": create_org,
    "orgs change": change_org,
    "orgs show": show_org,
    "orgs delete": delete_org,
    "teams list": partial(list_members, "teams"),
    "teams create": partial(create_member, "teams"),
    "teams show": partial(show_member, "teams"),
    "teams delete": partial(delete_member, "teams"),
    "users list": partial(list_members, "users"),
    "users create": partial(create_member, "users"),
    "users show": partial(show_member, "users"),
    "users delete": partial(delete_member, "users"),
    "limits": show_limits,
}
