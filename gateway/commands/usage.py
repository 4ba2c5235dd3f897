"""`pointsman usage`: what was spent, added up from the ledger. The gateway may go on writing meanwhile."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config import ConfigProblems, load
from gateway.scrubbing import printable
from gateway.state.ledger import LedgerError, read_ledger
from gateway.telemetry import NANO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GROUPS = {
    "key": "coalesce(key_name, key_id)",
    "team": "team",
    "route": "route",
    "deployment": "deployment",
    "day": "strftime('%Y-%m-%d', started_at_ms / 1000, 'unixepoch')",
}
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Both parts of the statement that vary are words of ours; what the caller says is bound.
_SELECT = """
    SELECT {group}, count(DISTINCT request_id), count(*),
           sum(input_tokens), sum(cached_input_tokens), sum(output_tokens),
           sum(CASE WHEN estimated THEN input_tokens + output_tokens ELSE 0 END),
           sum(cost_nanousd), sum(unpriced_reason IS NOT NULL),
           sum(CASE WHEN unpriced_reason IS NOT NULL THEN input_tokens + output_tokens ELSE 0 END)
    FROM attempts WHERE started_at_ms >= ? {grouping}
"""


@dataclass(frozen=True, slots=True)
class Spend:
    """One line of the report. `cost_nanousd` is what has a price; None when nothing in the group has."""

    name: str | None
    requests: int
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    estimated_tokens: int
    cost_nanousd: int | None
    unpriced_attempts: int
    unpriced_tokens: int

    @property
    def estimated_share(self) -> float:
        tokens = self.input_tokens + self.output_tokens
        return self.estimated_tokens / tokens if tokens else 0.0


def run(config: Path, *, by: str, since: str | None, as_json: bool) -> int:
    """Print the spend in the ledger that a policy file names. Exit code 2 when there is none to read."""
    try:
        ledger = load(config, os.environ).ledger.path
    except ConfigProblems as problems:
        print(problems, file=sys.stderr)  # noqa: T201 - a command speaks
        return 2
    return report(ledger, by=by, since=since, as_json=as_json)


def report(ledger: Path, *, by: str, since: str | None, as_json: bool) -> int:
    """Print the spend by key, team, route, deployment or day. Exit code 2 when it cannot be read."""
    try:
        since_ms = parse_since(since, datetime.now(UTC))
        with closing(read_ledger(ledger)) as connection:
            spends, total = query(connection, by, since_ms)
    except (LedgerError, ValueError, sqlite3.Error) as error:
        print(f"pointsman usage: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    text = as_document(by, spends, total) if as_json else as_table(by, spends, total)
    print(text)  # noqa: T201 - as above
    return 0


def query(connection: sqlite3.Connection, by: str, since_ms: int) -> tuple[list[Spend], Spend]:
    """The spend of each group, dearest first (days in order), and of all."""
    if by not in GROUPS:
        raise ValueError(f"cannot group by {by}; there are {', '.join(GROUPS)}")
    order = "1" if by == "day" else "8 DESC NULLS LAST, 1"
    grouped = _SELECT.format(group=GROUPS[by], grouping=f"GROUP BY 1 ORDER BY {order}")
    whole = _SELECT.format(group="'total'", grouping="")
    spends = [_spend(row) for row in connection.execute(grouped, (since_ms,))]
    return spends, _spend(connection.execute(whole, (since_ms,)).fetchone())


def _spend(row: Sequence[Any]) -> Spend:
    """A sum over no rows is NULL: of tokens that is zero, of costs it is no cost."""
    name, requests, attempts, input_, cached, output, estimated, cost, unpriced, unpriced_tokens = row
    tokens = (input_ or 0, cached or 0, output or 0, estimated or 0)
    return Spend(name, requests, attempts, *tokens, cost, unpriced or 0, unpriced_tokens or 0)


def parse_since(since: str | None, now: datetime) -> int:
    """Unix milliseconds for `7d` (also m, h, w), an ISO date or an ISO time; UTC where it names no zone."""
    if since is None:
        return 0
    span = _SPAN.fullmatch(since)
    try:
        if span is not None:
            moment = now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(since)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"--since wants a day like 2026-11-01 or a span like 7d, not {printable(since, 40)!r}"
        ) from error


def as_document(by: str, spends: list[Spend], total: Spend) -> str:
    """The report as JSON; money in nano-USD and, for reading, in USD."""
    document = {"by": by, "groups": [_object(spend) for spend in spends], "total": _object(total)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _object(spend: Spend) -> dict[str, object]:
    shown = msgspec.to_builtins(spend)
    cost_usd = usd(spend.cost_nanousd) if spend.cost_nanousd is not None else None
    return {**shown, "cost_usd": cost_usd, "estimated_share": round(spend.estimated_share, 6)}


def as_table(by: str, spends: list[Spend], total: Spend) -> str:
    """The report for people. Unpriced tokens are named beside the cost: they are not in it, and not free."""
    heads = [by, "requests", "attempts", "input", "cached", "output", "estimated", "cost USD", "unpriced tokens"]
    lines = [heads, *([_cells(spend) for spend in (*spends, total)])]
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


def _cost(spend: Spend) -> str:
    if spend.cost_nanousd is not None:
        return usd(spend.cost_nanousd)
    return "unpriced" if spend.unpriced_attempts else "-"


def usd(nanousd: int) -> str:
    """An exact amount: no rounding between the ledger and the reader."""
    whole, part = divmod(nanousd, NANO)
    return f"{whole}.{part:09d}"
