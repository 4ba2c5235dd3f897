"""`pointsman cache stats|drop|curve|export|import` on top of the admin API."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.commands.admin_client import CommandError
from gateway.commands.shown import Shown, path_of, query_of
from gateway.commands.usage import parse_moment
from gateway.commands.usage_shown import usd
from gateway.scrubbing import printable
from policies.cache_curves import SHIPPED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.commands.admin_client import AdminClient

HEADS: Final = (
    "ROUTE", "EXACT", "NEAR", "SEMANTIC", "MISSES", "BYPASSED", "SAVED USD", "BUDGET", "BAR", "EXPECTED", "OBSERVED",
)  # fmt: skip
STOCKED: Final = {
    "entries": ("entry", "entries"),
    "size_bytes": ("byte", "bytes"),
    "vectors": ("vector", "vectors"),
    "evicted": ("evicted", "evicted"),
    "expired": ("expired", "expired"),
}
NAMED: Final = {
    "id": (r"ce_[0-9A-Za-z_-]{1,64}", "an answer's id as x-pointsman-cache names it, such as ce_1a203c23635b"),
    "tag": (r"[A-Za-z0-9][A-Za-z0-9._:@/=-]{0,99}", "a tag: letters, digits and . _ : @ / = -"),
    "route": (r"[!-~]{1,200}", "a route's name"),
    "owner": (r"all|(team|key|user|org):[!-~]{1,300}", "an owner such as team:ORG/TEAM, key:ORG/ID, org:ORG or all"),
    "org": (r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", "the name of a tenant"),
}
"""What narrows a drop, and what it looks like."""
PART_BYTES: Final = 8 << 20
PARTS_MAX: Final = 4096
LINES_BYTES_MAX: Final = 700_000
"""Of one request to take entries over; the API reads a mebibyte."""


def stats(client: AdminClient, _: argparse.Namespace) -> Shown:
    body = client.ask("GET", path_of("cache")).body
    note = _stock(body["store"]) + _of_one_worker(client)
    return Shown(body, HEADS, [_row(route) for route in body["routes"]], note=note)


def drop(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    said: dict[str, object] = {name: _named(arguments, name) for name in NAMED}
    if arguments.before is not None:
        try:
            said["stored_before_ms"] = parse_moment("--before", arguments.before, datetime.now(UTC))
        except ValueError as error:
            raise CommandError(str(error), 2) from error
    body = {name: value for name, value in said.items() if value is not None}
    if arguments.all and body:
        raise CommandError("--all drops every answer, and the others only some: say one or the other", 2)
    if arguments.all:
        body["all"] = True
    if not body:
        raise CommandError("say which answers: --id, --tag, --route, --owner, --org, --before, or --all", 2)
    told = client.ask("POST", path_of("cache", "invalidate"), body).body
    dropped: int = told["dropped"]
    return Shown(told, note=f"{answers(dropped)} {'is' if dropped == 1 else 'are'} gone")


def export(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    """In parts, each small enough for one answer; a file that could not be finished is not left behind."""
    stock = client.ask("GET", path_of("cache")).body["store"]
    if stock is None:
        raise CommandError("no route of this gateway has a cache")
    parts = min(PARTS_MAX, 1 + (stock["size_bytes"] or (256 << 20)) * 2 // PART_BYTES)
    beside = arguments.out.with_name(f".{arguments.out.name}.{os.getpid()}")
    try:
        count = _write(beside, _lines(client, parts))
        beside.replace(arguments.out)
    except OSError as error:
        raise CommandError(f"{arguments.out}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    return Shown({"entries": count}, note=f"{answers(count)} in {arguments.out}; it holds what callers asked and heard")


def import_(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    try:
        with arguments.file.open("rb") as file:
            heading, *lines = file.read().split(b"\n")
    except OSError as error:
        raise CommandError(f"{arguments.file}: {error.strerror}", 2) from error
    kept, refused = 0, []
    for numbers, batch in _batches(lines):
        told = client.ask("POST", path_of("cache", "import"), {"heading": _text(heading), "lines": batch}).body
        kept += told["kept"]
        refused += [{"line": numbers[one["line"] - 1], "why": one["why"]} for one in told["refused"]]
    refused += [{"line": number + 2, "why": "it is too long"} for number, line in enumerate(lines) if _is_long(line)]
    notes = [f"line {one['line']}: {one['why']}" for one in sorted(refused, key=lambda one: one["line"])[:20]]
    note = "\n".join([f"{answers(kept)} taken over, {len(refused)} refused", *notes])
    return Shown({"kept": kept, "refused": refused}, note=note, exit_code=2 if refused and not kept else 0)


def curve(client: AdminClient, arguments: argparse.Namespace) -> Shown:
    """Shown, or taken from a file, or given up for the shipped one."""
    if arguments.file is not None:
        try:
            body = msgspec.json.decode(arguments.file.read_bytes())
        except (OSError, msgspec.DecodeError):
            raise CommandError(f"{arguments.file} is not what calibrate writes", 2) from None
        told = client.ask("PUT", path_of("cache", "curve"), body).body
    else:
        method = "DELETE" if arguments.shipped else "GET"
        query = query_of({"embedder": arguments.embedder or SHIPPED[0].embedder})
        told = client.ask(method, path_of("cache", "curve") + query).body
    rows = [(name, told[name]) for name in ("at_one", "per_distance", "per_next")]
    return Shown(told, ("CURVE", told["embedder"]), [*rows, *told["per_sign"].items()])


def _lines(client: AdminClient, parts: int) -> Iterator[str]:
    """The heading comes with each part."""
    for part in range(parts):
        told = client.ask("GET", path_of("cache", "export") + query_of({"part": part, "parts": parts})).body
        if not part:
            yield told["heading"]
        yield from told["lines"]


def _write(path: Path, lines: Iterator[str]) -> int:
    """How many entries. What callers asked is not everybody's to read."""
    count = -1
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        for line in lines:
            file.write(f"{line.rstrip()}\n")
            count += 1
    return max(count, 0)


def _batches(lines: list[bytes]) -> Iterator[tuple[list[int], list[str]]]:
    """Lines for one request each, with their numbers in the file."""
    numbers: list[int] = []
    batch: list[str] = []
    size = 0
    for number, line in enumerate(lines, 2):
        if not line.strip() or _is_long(line):
            continue
        if batch and size + len(line) > LINES_BYTES_MAX:
            yield numbers, batch
            numbers, batch, size = [], [], 0
        numbers.append(number)
        batch.append(_text(line))
        size += len(line)
    if batch:
        yield numbers, batch


def _is_long(line: bytes) -> bool:
    return len(line) > LINES_BYTES_MAX


def _text(line: bytes) -> str:
    return line.decode(errors="replace")


def _row(route: dict[str, Any]) -> list[object]:
    hits = route["hits"]
    levels = [hits.get(level, 0) for level in ("exact", "near", "semantic")]
    shares = [_share(route[name]) for name in ("false_hits_max", "risk_bar", "expected", "observed_max")]
    if route["over_budget"]:
        shares[-1] = f"{shares[-1]} OVER"
    return [route["route"], *levels, route["misses"], route["bypassed"], usd(route["saved_nanousd"]), *shares]


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.2%}"


def answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"


def _named(arguments: argparse.Namespace, name: str) -> str | None:
    """What an option names. Raises `CommandError` for what nothing has for a name."""
    said: str | None = getattr(arguments, name)
    shape, described = NAMED[name]
    if said is not None and not re.fullmatch(shape, said, re.ASCII):
        raise CommandError(f"--{name} wants {described}, not {printable(said, 40)!r}", 2)
    return said


def _stock(store: dict[str, Any] | None) -> str:
    if store is None:
        return "no route has a cache"
    known = [(store[name], word) for name, word in STOCKED.items()]
    counts = ", ".join(
        f"{number} {word if number != 1 else one}" for number, (one, word) in known if number is not None
    )
    uncounted = "" if store["entries"] is not None else "; its entries are being counted"
    return f"{store['kind']}: {counts}{uncounted}"


def _of_one_worker(client: AdminClient) -> str:
    """Where several share the work: each has counts of its own, and one was asked."""
    try:
        workers = client.ask("GET", "/workers").body
    except CommandError:  # a gateway of one process has no such list
        return ""
    if not isinstance(workers, list) or len(workers) < 2:
        return ""
    return f"\none of {len(workers)} workers tells this: what it counts is its own share, and /metrics adds them up"


ACTS: Final[dict[str, Callable[[AdminClient, argparse.Namespace], Shown]]] = {
    "cache stats": stats,
    "cache curve": curve,
    "cache drop": drop,
    "cache export": export,
    "cache import": import_,
}
