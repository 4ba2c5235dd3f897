"""What was spent, by owner or place: from the sums by the hour, and from attempts where a span begins within one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.ledger.rollups import COMPONENTS, HOUR_MS, MEASURES
from gateway.state.ledger.schema import ERRAND_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    "source": ("price_source", "price_source"),
    "day": ("hour_s / 86400", "started_at_ms / 86400000"),
    "tag": ("tags", "tags"),
}
"""What spend is grouped by: as the sums name it, and as the attempts do."""
MOST_GROUPS: Final = 3
MONTH: Final = "(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])"
_MONTH: Final = re.compile(MONTH)

ALL_TIME_MS: Final = (0, 2**53)
# What a cache asks by itself is no request of anybody's; sums by the hour have it as a call.
_IS_ERRAND: Final = f"substr(coalesce(key_id, ''), 1, {len(ERRAND_KEY)}) = '{ERRAND_KEY}'"
_FROM_ATTEMPTS: Final = (
    f"sum(CASE WHEN attempt > 1 OR {_IS_ERRAND} THEN 0 ELSE 1 END), "
    "sum(CASE WHEN attempt > 0 THEN 1 ELSE 0 END), "
    "sum(input_tokens), sum(cached_input_tokens), "
    "sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens), "
    "sum(CASE WHEN estimated = 1 THEN input_tokens + output_tokens ELSE 0 END), coalesce(sum(cost_nanousd), 0), "
    "count(CASE WHEN attempt > 0 THEN cost_nanousd END), count(unpriced_reason), "
    "sum(CASE WHEN unpriced_reason IS NOT NULL THEN input_tokens + output_tokens ELSE 0 END), "
    "sum(CASE WHEN attempt = 0 THEN 1 ELSE 0 END), coalesce(sum(saved_nanousd), 0), coalesce(sum(saved_tokens), 0), "
    "coalesce(sum(coalesce(upstream_nanousd, cost_nanousd)), 0), coalesce(sum(gpu_us), 0), "
    + ", ".join(f"coalesce(sum({name}), 0)" for name in COMPONENTS)
)
_FROM_SUMS: Final = f"sum(CASE WHEN {_IS_ERRAND} THEN 0 ELSE calls END), " + ", ".join(
    f"sum({name})" for name in MEASURES if name != "calls"
)

Names = tuple[str | None, ...]


class Span(NamedTuple):
    """From `since_ms` on and before `until_ms`, in Unix milliseconds."""

    since_ms: int = ALL_TIME_MS[0]
    until_ms: int = ALL_TIME_MS[1]


def month_span(text: str) -> Span:
    """A calendar month in UTC, such as 2026-10. Raises `ValueError`."""
    found = _MONTH.fullmatch(text)
    if found is None:
        raise ValueError("a month like 2026-10 is meant")
    first = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
    after = (first + timedelta(days=31)).replace(day=1)
    return Span(*(int(moment.timestamp()) * 1000 for moment in (first, after)))


@dataclass(frozen=True, slots=True)
class Spend:
    """One line of a report. `requests` are callers' calls that began there: a fallback adds an attempt, but no request,
    and so does what a cache asks by itself.

    `name` is the first of `names`, of which there is one for each grouping. `cost_nanousd` is what has a price, and the
    components what it is made of; all are None when nothing in the group has one. `unsplit_nanousd` is what releases
    have added up that knew no components. `upstream_nanousd` is what providers are expected to bill. `cache_hits` are
    requests without an attempt, which cost nothing; `saved_nanousd` and `saved_tokens` are what their answers took when
    they were made. `gpu_us` is time on hardware of one's own.
    """

    name: str | None
    names: Names
    requests: int
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated_tokens: int
    cost_nanousd: int | None
    input_nanousd: int | None
    cached_input_nanousd: int | None
    cache_write_nanousd: int | None
    output_nanousd: int | None
    request_nanousd: int | None
    tool_nanousd: int | None
    unsplit_nanousd: int | None
    upstream_nanousd: int | None
    unpriced_attempts: int
    unpriced_tokens: int
    cache_hits: int = 0
    saved_nanousd: int = 0
    saved_tokens: int = 0
    gpu_us: int = 0

    @property
    def estimated_share(self) -> float:
        tokens = self.input_tokens + self.output_tokens
        return self.estimated_tokens / tokens if tokens else 0.0


async def spend_by(connection: AsyncConnection, by: str | Sequence[str], span: Span) -> tuple[list[Spend], Spend]:
    """The spend of each group, dearest first (days in order), and of all. Raises `ValueError` for another grouping.

    Of several groupings, the lines of one name stand together. What carries several tags is in the line of each of
    them, and once in the total.
    """
    wanted = checked(by)
    sums: dict[Names, list[int]] = {}
    total = [0] * len(MEASURES)
    for row in await _grouped(connection, wanted, span):
        numbers = [whole(number) for number in row[len(wanted) :]]
        _add(total, numbers)
        for names in product(*map(_names, wanted, row)):
            _add(sums.setdefault(names, [0] * len(MEASURES)), numbers)
    spends = [_spend(names, numbers) for names, numbers in sums.items()]
    return in_order(wanted, spends), _spend(("total",), total)


def checked(by: str | Sequence[str]) -> tuple[str, ...]:
    """The groupings, each once and not too many. Raises `ValueError`."""
    wanted = (by,) if isinstance(by, str) else tuple(by)
    for one in wanted:
        if one not in GROUPS:
            raise ValueError(f"cannot group by {one}; there are {', '.join(GROUPS)}")
    if not 0 < len(wanted) <= MOST_GROUPS or len(set(wanted)) < len(wanted):
        raise ValueError(f"cannot group by {', '.join(wanted)}: one to {MOST_GROUPS} groupings, each once")
    return wanted


def in_order(by: Sequence[str], spends: list[Spend]) -> list[Spend]:
    """Days in order, all else dearest first, at each level; what has no price comes last."""
    costs: dict[Names, int | None] = {}
    for spend in spends:
        for level in range(1, len(by) + 1):
            beginning = spend.names[:level]
            before = costs.get(beginning)
            costs[beginning] = before if spend.cost_nanousd is None else (before or 0) + spend.cost_nanousd

    def place(spend: Spend) -> list[tuple[int, str]]:
        places = []
        for level, name in enumerate(spend.names, 1):
            cost = costs[spend.names[:level]]
            rank = 0 if by[level - 1] == "day" else 1 if cost is None else -cost
            places.append((rank, name or ""))
        return places

    return sorted(spends, key=place)


async def _grouped(connection: AsyncConnection, by: Sequence[str], span: Span) -> list[Sequence[object]]:
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    of_sums, of_attempts = (", ".join(GROUPS[one][side] for one in by) for side in (0, 1))
    places = ", ".join(str(number) for number in range(1, len(by) + 1))
    span = await _within_reach(connection, span)
    first_s, end_s = -(-span.since_ms // HOUR_MS) * 3600, span.until_ms // HOUR_MS * 3600
    edges = _edges(span, first_s * 1000, end_s * 1000)
    hours = (
        f"SELECT {of_sums}, {_FROM_SUMS} FROM usage_hourly "  # noqa: S608 - our words
        f"WHERE hour_s >= :first AND hour_s < :end GROUP BY {places}"
    )
    rest = (
        f"SELECT {of_attempts}, {_FROM_ATTEMPTS} FROM attempts "  # noqa: S608 - our words
        f"WHERE started_at_ms >= :since AND started_at_ms < :until GROUP BY {places}"
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


def _names(by: str, group: object) -> Iterator[str | None]:
    if by == "day":
        yield day_name(int(str(group)))
    elif by == "tag":
        tags = dict.fromkeys(str(tag) for tag in (json.loads(str(group)) if group is not None else ()))
        yield from tags or (None,)
    else:
        yield str(group) if group is not None else None


def whole(number: object) -> int:
    """A sum as the database tells it: PostgreSQL's are decimals, some of them written 1E+4."""
    return int(Decimal(str(number or 0)))


def day_name(days: int) -> str:
    """A day, counted from 1970, as ISO 8601 has it."""
    return datetime.fromtimestamp(days * 86_400, UTC).date().isoformat()


def _add(sums: list[int], numbers: Sequence[int]) -> None:
    for index, number in enumerate(numbers):
        sums[index] += number


def _spend(names: Names, numbers: Sequence[int]) -> Spend:
    told = dict(zip(MEASURES, numbers, strict=True))
    is_known = bool(told["priced_attempts"] or told["cache_hits"])
    unsplit = told["cost_nanousd"] - sum(told[name] for name in COMPONENTS)

    def cost(name: str) -> int | None:
        return told[name] if is_known else None

    return Spend(
        names[0],
        names,
        told["calls"],
        told["attempts"],
        told["input_tokens"],
        told["cached_input_tokens"],
        told["cache_write_tokens"],
        told["output_tokens"],
        told["reasoning_tokens"],
        told["estimated_tokens"],
        cost("cost_nanousd"),
        cost("input_nanousd"),
        cost("cached_input_nanousd"),
        cost("cache_write_nanousd"),
        cost("output_nanousd"),
        cost("request_nanousd"),
        cost("tool_nanousd"),
        unsplit if is_known else None,
        cost("upstream_nanousd"),
        told["unpriced_attempts"],
        told["unpriced_tokens"],
        told["cache_hits"],
        told["saved_nanousd"],
        told["saved_tokens"],
        told["gpu_us"],
    )
