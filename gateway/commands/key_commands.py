"""`pointsman keys ...` on top of the admin API."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.commands.admin_client import CommandError, NotFoundError
from gateway.commands.key_terms import changes_of, span_s, terms_of
from gateway.commands.shown import Shown, path_of, query_of
from gateway.scrubbing import printable
from gateway.tables import day

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gateway.commands.admin_client import AdminClient

HEADS: Final = (
    "ID",
    "NAME",
    "ORG",
    "TEAM",
    "USER",
    "STATE",
    "LAST4",
    "ROUTES",
    "TAGS",
    "EXPIRES (UTC)",
    "LAST USED (UTC)",
)
PAGE: Final = 1000
_ID: Final = re.compile(r"[0-9A-Za-z]{12}")


def list_keys(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    wanted: dict[str, object] = {name: getattr(arguments, name) for name in ("org", "team", "user", "tag")}
    wanted |= {"revoked": None if arguments.all else "false", "limit": PAGE}
    keys: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = client.ask("GET", path_of("keys") + query_of(wanted | {"cursor": cursor})).body
        keys += page["keys"]
        cursor = page["cursor"]
        if cursor is None:
            return Shown({"keys": keys}, HEADS, [row_of(key) for key in keys])


def create_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    once = {"org": arguments.org, "env": arguments.env}
    body = {name: word for name, word in once.items() if word is not None} | terms_of(arguments, time.time())
    return issued(client.ask("POST", path_of("keys"), body).body, "made")


def change_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    changes = changes_of(arguments, time.time())
    path = path_of("keys", key_id(client, arguments))
    now = client.ask("GET", path)
    return _one(client.ask("PATCH", path, changes, now.etag).body)


def show_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    return _one(client.ask("GET", path_of("keys", key_id(client, arguments))).body)


def rotate_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    overlap_s = span_s(arguments.overlap, "--overlap")
    path = path_of("keys", key_id(client, arguments), "rotate")
    return issued(client.ask("POST", path, {"overlap_s": overlap_s}).body, "rotated")


def disable_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    return _one(client.ask("POST", path_of("keys", key_id(client, arguments), "disable")).body)


def enable_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    return _one(client.ask("POST", path_of("keys", key_id(client, arguments), "enable")).body)


def revoke_key(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    return _one(client.ask("DELETE", path_of("keys", key_id(client, arguments))).body)


def key_id(client: AdminClient, arguments: argparse.Namespace) -> str:
    """The id of the key that is meant. A name is looked up among the keys that are not revoked."""
    text: str = arguments.key
    if _ID.fullmatch(text):
        try:
            return str(client.ask("GET", path_of("keys", text)).body["id"])
        except NotFoundError:
            pass  # twelve letters may be a name, too
    wanted: dict[str, object] = {"name": text, "org": arguments.org, "revoked": "false"}
    found = client.ask("GET", path_of("keys") + query_of(wanted)).body["keys"]
    if not found:
        raise CommandError(f"there is no key with this id or name in the org {printable(arguments.org)!r}")
    return str(found[0]["id"])


def issued(body: dict[str, Any], done: str) -> Shown:
    """A secret for standard output; all else about it for the eyes."""
    key = body["key"]
    until = day(key["former_until_ms"])
    note = f"key {printable(key['name'])} ({key['id']}) {done}; the secret is shown this once and kept nowhere"
    if until is not None:
        note += f"\nthe one before works until {until} UTC"
    return Shown(body, secret=body["secret"], note=note)


def row_of(key: dict[str, Any]) -> list[object]:
    owner = [key["id"], key["name"], key["org"], key["team"], key["user"], state_of(key), key["last4"]]
    routes = "all" if key["routes"] is None else key["routes"]
    return [*owner, routes, key["tags"], day(key["expires_at_ms"]), day(key["last_used_at_ms"])]


def state_of(key: dict[str, Any]) -> str:
    if key["revoked_at_ms"] is not None:
        return "revoked"
    if key["disabled"]:
        return "disabled"
    is_over = key["expires_at_ms"] is not None and key["expires_at_ms"] <= time.time() * 1000
    return "expired" if is_over else "active"


def _one(key: dict[str, Any]) -> Shown:
    rows = [*zip((head.lower() for head in HEADS), row_of(key), strict=True)]
    required = [*filter(None, [key["require_region"]]), *key["require_data_classes"]]
    rows += [("priority", key["priority"]), ("requires", required), ("cache", key["uses_cache"])]
    rows += [("content", key["content"]), ("cost in body", key["cost_in_body"])]
    rows += [("trusts trace", key["trust_trace_context"])]
    rows += [("networks", "all" if key["networks"] is None else key["networks"]), ("limits", _limits(key["limits"]))]
    rows += [("created (utc)", day(key["created_at_ms"])), ("former until (utc)", day(key["former_until_ms"]))]
    return Shown(key, ("KEY", key["id"]), rows[1:])


def _limits(entries: list[dict[str, Any]]) -> list[str]:
    return ["; ".join(f"{name}: {value}" for name, value in entry.items()) for entry in entries]


ACTS: Final[dict[str, Callable[[AdminClient, argparse.Namespace], Shown]]] = {
    "keys list": list_keys,
    "keys create": create_key,
    "keys show": show_key,
    "keys change": change_key,
    "keys rotate": rotate_key,
    "keys disable": disable_key,
    "keys enable": enable_key,
    "keys revoke": revoke_key,
}
