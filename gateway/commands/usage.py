"""`pointsman usage`: what was spent, added up from the ledger. The gateway may go on writing meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from gateway.config import ConfigProblems, load
from gateway.errors import MissingExtra
from gateway.scrubbing import printable
from gateway.signals.telemetry import NANO
from gateway.state.database import Database
from gateway.state.ledger.reports import ALL_TIME_MS, Span, Spend, spend_by
from gateway.state.ledger.schema import LedgerError
from gateway.state.migrating import require_current

if TYPE_CHECKING:
    from pathlib import Path

_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def ledger_url(config: Path | None, ledger: str | None) -> str | None:
    """The ledger that the command line names, by a policy file or itself; None, and people told why, where it fails."""
    if ledger is not None or config is None:
        return ledger if ledger is None or "://" in ledger else f"sqlite:///{ledger}"
    try:
        return load(config, os.environ).ledger.url.reveal()
    except ConfigProblems as problems:
        print(problems, file=sys.stderr)  # noqa: T201 - a command speaks
        return None


def report(ledger: str, *, by: str, since: str | None, until: str | None, as_json: bool) -> int:
    """Print the spend by one of GROUPS, from the ledger at a URL. Exit code 2 when it cannot be read."""
    try:
        spends, total = asyncio.run(read(ledger, by, parse_span(since, until, datetime.now(UTC))))
    except (LedgerError, MissingExtra, ValueError) as error:
        print(f"pointsman usage: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    text = as_document(by, spends, total) if as_json else as_table(by, spends, total)
    print(text)  # noqa: T201 - as above
    return 0


async def read(url: str, by: str, span: Span) -> tuple[list[Spend], Spend]:
    """The spend of each group and of all, without writing anything. Raises `LedgerError` and `ValueError`."""
    database = Database(url)
    try:
        await require_current(database)
        async with database.read() as connection:
            return await spend_by(connection, by, span)
    finally:
        await database.close()


def parse_span(since: str | None, until: str | None, now: datetime) -> Span:
    """Raises `ValueError`, which names the option."""
    return Span(
        parse_moment("--since", since, now) if since is not None else ALL_TIME_MS[0],
        parse_moment("--until", until, now) if until is not None else ALL_TIME_MS[1],
    )


def parse_moment(option: str, text: str, now: datetime) -> int:
    """Unix milliseconds for `7d` ago (also s, m, h, w), an ISO date or an ISO time; UTC where it names no zone."""
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            moment = now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(int(moment.timestamp() * 1000), ALL_TIME_MS[0])
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{option} wants a day like 2026-11-01, or a span like 7d, 12h or 90s, not {printable(text, 40)!r}"
        ) from error


def as_document(by: str, spends: list[Spend], total: Spend) -> str:
    """The report as JSON; money in nano-USD and, for reading, in USD."""
    document = {"by": by, "groups": [_object(spend) for spend in spends], "total": _object(total)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _object(spend: Spend) -> dict[str, object]:
    shown = msgspec.to_builtins(spend)
    cost_usd = usd(spend.cost_nanousd) if spend.cost_nanousd is not None else None
    told = {"cost_usd": cost_usd, "estimated_share": round(spend.estimated_share, 6)}
    return {**shown, **told, "saved_usd": usd(spend.saved_nanousd)}


def as_table(by: str, spends: list[Spend], total: Spend) -> str:
    """The report for people. Unpriced tokens are named beside the cost: they are not in it, and not free. What caches
    served and saved stands there where they served anything.
    """
    heads = [by, "requests", "attempts", "input", "cached", "output", "estimated", "cost USD", "unpriced tokens"]
    lines = [heads, *([_cells(spend) for spend in (*spends, total)])]
    if total.cache_hits:
        lines = [line + more for line, more in zip(lines, _from_caches([*spends, total]), strict=True)]
        heads = lines[0]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    rendered = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([rendered[0], rule, *rendered[1:-1], rule, rendered[-1]])


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    return [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]


def _cells(spend: Spend) -> list[str]:
    counts = (spend.requests, spend.attempts, spend.input_tokens, spend.cached_input_tokens, spend.output_tokens)
    return [
        printable(spend.name) if spend.name is not None else "-",
        *(str(count) for count in counts),
        f"{spend.estimated_share:.1%}",
        _cost(spend),
        str(spend.unpriced_tokens) if spend.unpriced_attempts else "-",
    ]


def _from_caches(spends: list[Spend]) -> list[list[str]]:
    cells = [[str(spend.cache_hits), usd(spend.saved_nanousd) if spend.cache_hits else "-"] for spend in spends]
    return [["hits", "saved USD"], *cells]


def _cost(spend: Spend) -> str:
    if spend.cost_nanousd is not None:
        return usd(spend.cost_nanousd)
    return "unpriced" if spend.unpriced_attempts else "-"


def usd(nanousd: int) -> str:
    """An exact amount: no rounding between the ledger and the reader."""
    whole, part = divmod(nanousd, NANO)
    return f"{whole}.{part:09d}"
