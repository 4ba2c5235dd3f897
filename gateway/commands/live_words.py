"""The words of the commands that watch a gateway at work."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gateway.commands.where_words import where_options

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name


def add_live_words(commands: Verbs) -> None:
    top = commands.add_parser(
        "top", help="a gateway at work, in this terminal", parents=[where_options()], allow_abbrev=False
    )
    top.add_argument("--every", type=_seconds, default=2.0, metavar="TIME", help="between two looks, as 2s (default)")
    top.add_argument("--once", action="store_true", help="one look at the next seconds, as text")
    top.set_defaults(run=_top)
    _add_tail(commands)
    _add_trace(commands)


def _add_tail(commands: Verbs) -> None:
    tail = commands.add_parser(
        "tail", help="calls as they end, a line each", parents=[where_options()], allow_abbrev=False
    )
    for name in ("route", "team", "key", "model", "deployment"):
        tail.add_argument(f"--{name}", metavar="NAME", help=f"of this {name} only")
    tail.add_argument("--outcome", metavar="WORD", help="that ended so, such as ok, timeout or denied_rate")
    tail.add_argument("--errors", action="store_true", help="that went wrong upstream or in the gateway")
    tail.add_argument("--min-cost", type=float, metavar="USD", help="that cost so much at least")
    tail.add_argument("--min-ms", type=float, metavar="MS", help="that took so long at least")
    tail.set_defaults(run=_tail)


def _add_trace(commands: Verbs) -> None:
    trace = commands.add_parser(
        "trace",
        help="one call: where it went and why, when, and what it cost, line by line",
        parents=[where_options()],
        allow_abbrev=False,
    )
    trace.add_argument("request_id", nargs="?", metavar="REQUEST_ID", help="the x-request-id of its answer")
    trace.add_argument("--last", action="store_true", help="the last call instead")
    trace.add_argument("--errors", action="store_true", help="with --last: that went wrong upstream or in the gateway")
    trace.add_argument("--ledger", metavar="FILE", help="read the ledger, or its URL, and ask no gateway")
    trace.set_defaults(run=_trace)


def _seconds(text: str) -> float:
    """`2`, `2s` or `500ms`. Raises `ValueError`, of which argparse makes its own message."""
    seconds = float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("a time between 200ms and an hour is meant")
    return seconds


def _top(arguments: argparse.Namespace) -> int:
    from gateway.commands import top  # noqa: PLC0415 - each command pays for its own imports only

    return top.command(arguments)


def _tail(arguments: argparse.Namespace) -> int:
    from gateway.commands import tail  # noqa: PLC0415 - as above

    return tail.command(arguments)


def _trace(arguments: argparse.Namespace) -> int:
    from gateway.commands import trace  # noqa: PLC0415 - as above

    return trace.command(arguments)
