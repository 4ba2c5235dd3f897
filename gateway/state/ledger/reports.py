"""What was spent, by owner or place: from the sums by the hour, and from attempts where a span begins within one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.ledger.rollups import HOUR_MS, MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

GROUPS: Final = {
    "key": ("coalesce(key_name, key_id)", "coalesce(key_name, key_id)"),
    "team": ("team", "team"),
    "user": ('"user"', '"user"'),
    "org": ("org", "org"),
    "route": ("route", "route"),
    "deployment": ("deployment", "deployment"),
    "provider": ("provider", "provider"),
    "model": ("model", "model"),
    "day": ("hour_s / 86400", "started_at_ms / 86400000"),
    "tag": ("tags", "tags"),
}
"""What spend is grouped by: as the sums name it, and as the attempts do."""

ALL_TIME_MS: Final = (0, 2**53)
_FROM_ATTEMPTS: Final = (
    "sum(CASE WHEN attempt <= 1 THEN 1 ELSE 0 END), sum(CASE WHEN attempt > 0 THEN 1 ELSE 0 END), "
    "sum(input_tokens), sum(cached_input_tokens), "
    "sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens), "
    "sum(CASE WHEN estimated = 1 THEN input_tokens + output_tokens ELSE 0 END), coalesce(sum(cost_nanousd), 0), "
    "count(CASE WHEN attempt > 0 THEN cost_nanousd END), count(unpriced_reason), "
    "sum(CASE WHEN unpriced_reason IS NOT NULL THEN input_tokens + output_tokens ELSE 0 END), "
    "sum(CASE WHEN attempt = 0 THEN 1 ELSE 0 END), coalesce(sum(saved_nanousd), 0), coalesce(sum(saved_tokens), 0), "
    "coalesce(sum(coalesce(upstream_nanousd, cost_nanousd)), 0), coalesce(sum(gpu_us), 0)"
)
_FROM_SUMS: Final = ", ".join(f"sum({name})" for name in MEASURES)


class Span(NamedTuple):
    """From `since_ms` on and before `until_ms`, in Unix milliseconds."""

    since_ms: int = ALL_TIME_MS[0]
    until_ms: int = ALL_TIME_MS[1]


@dataclass(frozen=True, slots=True)
class Spend:
    """One line of a report. `requests` are the calls that began there: a fallback adds an attempt, but no request.

    `cost_nanousd` is what has a price; None when nothing in the group has. `cache_hits` are requests without an
    attempt, which cost nothing; `saved_nanousd` and `saved_tokens` are what their answers took when they were made.
    `upstream_nanousd` is what the provider is expected to bill for what has a price.
    """

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
    cache_hits: int = 0
    saved_nanousd: int = 0
    saved_tokens: int = 0
    upstream_nanousd: int = 0
    gpu_us: int = 0

    @property
    def estimated_share(self) -> float:
        tokens = self.input_tokens + self.output_tokens
        return self.estimated_tokens / tokens if tokens else 0.0


async def spend_by(connection: AsyncConnection, by: str, span: Span) -> tuple[list[Spend], Spend]:
    """The spend of each group, dearest first (days in order), and of all. Raises `ValueError` for another grouping.

    What carries several tags is in the line of each of them, and once in the total.
    """
    if by not in GROUPS:
        raise ValueError(f"cannot group by {by}; there are {', '.join(GROUPS)}")
    sums: dict[str | None, list[int]] = {}
    total = [0] * len(MEASURES)
    for group, *measured in await _grouped(connection, by, span):
        numbers = [int(str(number or 0)) for number in measured]
        _add(total, numbers)
        for name in _names(by, group):
            _add(sums.setdefault(name, [0] * len(MEASURES)), numbers)
    spends = [_spend(name, numbers) for name, numbers in sums.items()]
    spends.sort(key=lambda spend: spend.name or "")
    if by != "day":
        spends.sort(key=lambda spend: -1 if spend.cost_nanousd is None else spend.cost_nanousd, reverse=True)
    return spends, _spend("total", total)


async def _grouped(connection: AsyncConnection, by: str, span: Span) -> Iterable[Sequence[object]]:
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    of_sums, of_attempts = GROUPS[by]
    span = await _within_reach(connection, span)
    first_s, end_s = -(-span.since_ms // HOUR_MS) * 3600, span.until_ms // HOUR_MS * 3600
    edges = _edges(span, first_s * 1000, end_s * 1000)
    hours = f"SELECT {of_sums}, {_FROM_SUMS} FROM usage_hourly WHERE hour_s >= :first AND hour_s < :end GROUP BY 1"  # noqa: S608 - our words
    rest = (
        f"SELECT {of_attempts}, {_FROM_ATTEMPTS} FROM attempts "  # noqa: S608 - our words
        "WHERE started_at_ms >= :since AND started_at_ms < :until GROUP BY 1"
    )
    rows: list[Sequence[object]] = list(await connection.execute(text(hours), {"first": first_s, "end": end_s}))
    for since_ms, until_ms in edges:
        rows += await connection.execute(text(rest), {"since": since_ms, "until": until_ms})
    return rows


async def _within_reach(connection: AsyncConnection, span: Span) -> Span:
    """From one whole hour to another where attempts may have been deleted by now: the sums of those hours stay."""
    from sqlalchemy import text  # noqa: PLC0415 - as above

    oldest_ms = (await connection.execute(text("SELECT min(started_at_ms) FROM attempts"))).scalar()
    reach_ms = ALL_TIME_MS[1] if oldest_ms is None else int(oldest_ms)
    return Span(*(edge_ms if edge_ms >= reach_ms else edge_ms // HOUR_MS * HOUR_MS for edge_ms in span))


def _edges(span: Span, first_ms: int, end_ms: int) -> list[Span]:
    """What of a span is no whole hour."""
    parts = [Span(span.since_ms, first_ms), Span(end_ms, span.until_ms)] if first_ms <= end_ms else [span]
    return [part for part in parts if part.since_ms < part.until_ms]


def _names(by: str, group: object) -> list[str | None]:
    if by == "day":
        from datetime import UTC, datetime  # noqa: PLC0415 - for this grouping only

        return [datetime.fromtimestamp(int(str(group)) * 86_400, UTC).date().isoformat()]
    if by == "tag":
        tags = json.loads(str(group)) if group is not None else []
        return list(dict.fromkeys(str(tag) for tag in tags)) or [None]
    return [str(group) if group is not None else None]


def _add(sums: list[int], numbers: Sequence[int]) -> None:
    for index, number in enumerate(numbers):
        sums[index] += number


def _spend(name: str | None, numbers: Sequence[int]) -> Spend:
    told = dict(zip(MEASURES, numbers, strict=True))
    return Spend(
        name,
        told["calls"],
        told["attempts"],
        told["input_tokens"],
        told["cached_input_tokens"],
        told["output_tokens"],
        told["estimated_tokens"],
        told["cost_nanousd"] if told["priced_attempts"] or told["cache_hits"] else None,
        told["unpriced_attempts"],
        told["unpriced_tokens"],
        told["cache_hits"],
        told["saved_nanousd"],
        told["saved_tokens"],
        told["upstream_nanousd"],
        told["gpu_us"],
    )
