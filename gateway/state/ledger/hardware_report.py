"""What hardware of one's own cost in full, beside what was charged for it: idle time is nobody's.

Hardware is written down by whole hours, so a span counts the hours that begin within it, and the one it begins in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.state.ledger.reports import checked, day_name, whole
from gateway.state.ledger.rollups import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.state.ledger.reports import Span

IDLE: Final = "_idle"
PLACES: Final = {"deployment": "deployment", "provider": "provider", "day": "hour_s / 86400"}
"""Of what spend is grouped by, what hardware is told apart by too."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What hardware cost that nobody used, beside what it cost while it worked; None where nobody said what it costs.

    `charged_nanousd` is what all calls to its deployments were charged, and `variance_nanousd` what the hardware cost
    beyond that: below zero where users paid more than it.
    """

    name: str | None
    names: tuple[str | None, ...]
    busy_us: int
    idle_us: int
    busy_nanousd: int | None
    idle_nanousd: int | None
    charged_nanousd: int
    variance_nanousd: int | None


async def idle_by(connection: AsyncConnection, by: str | Sequence[str], span: Span) -> tuple[list[Idle], Idle | None]:
    """The idle lines of a report by these groupings, and of all; None where no hardware was followed then."""
    wanted = checked(by)
    known = [one for one in wanted if one in PLACES]
    lines = [_line(wanted, row) for row in await _read(connection, known, span)]
    whole = await _read(connection, [], span)
    total = _line((), whole[0]) if whole and whole[0][0] is not None else None
    return (lines if total is not None else []), total


async def _read(connection: AsyncConnection, known: Sequence[str], span: Span) -> list[Sequence[object]]:
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    names = [PLACES[one] for one in known]
    by = f" GROUP BY {', '.join(str(number + 1) for number in range(len(names)))}" if names else ""
    hours = "hour_s >= :first AND hour_s < :end"
    # Summed on its own first: an hour of hardware has many lines of usage.
    charged = (
        "SELECT usage_hourly.hour_s AS hour, usage_hourly.deployment AS at, "  # noqa: S608 - our words
        f"sum(usage_hourly.cost_nanousd) AS cost FROM usage_hourly WHERE {hours} GROUP BY 1, 2"
    )
    statement = (
        f"SELECT {''.join(f'{name}, ' for name in names)}sum(busy_us), sum(idle_us), sum(busy_nanousd), "  # noqa: S608 - our words
        f"sum(idle_nanousd), coalesce(sum(cost), 0) FROM hardware_hours LEFT JOIN ({charged}) AS paid "
        f"ON hour = hour_s AND at = deployment WHERE {hours}{by}{by.replace('GROUP', 'ORDER')}"
    )
    bounds = {"first": span.since_ms // HOUR_MS * 3600, "end": -(-span.until_ms // 1000)}
    return list(await connection.execute(text(statement), bounds))


def _line(by: Sequence[str], row: Sequence[object]) -> Idle:
    places = list(row[:-5])
    busy_us, idle_us, busy, idle, charged = (None if number is None else whole(number) for number in row[-5:])
    known = [one for one in by if one in PLACES]
    found = dict(zip(known, places, strict=True))
    told = [None if one not in found else _name(one, found[one]) for one in by] or [None]
    # The pseudo-owner stands where an owner would; where there is none, before the first place.
    owner = next((index for index, one in enumerate(by) if one not in PLACES), 0)
    told[owner] = IDLE if told[owner] is None else f"{IDLE} {told[owner]}"
    variance = None if busy is None or idle is None else busy + idle - (charged or 0)
    return Idle(told[0], tuple(told), busy_us or 0, idle_us or 0, busy, idle, charged or 0, variance)


def _name(by: str, value: object) -> str:
    return day_name(int(str(value))) if by == "day" else str(value)
