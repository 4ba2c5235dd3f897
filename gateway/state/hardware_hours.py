"""Writes down what hardware of one's own was worth, busy and idle, hour by hour beside the ledger's sums.

Every process adds its own part. What the database did not take is added with the next try; a process that is killed
takes what it has not written yet with it, which is a minute at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.state.ledger.schema import LedgerError
from policies.hardware_cost import Spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.database import Database
    from gateway.state.hardware import HardwareTimes

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
HOUR_S: Final = 3600
_NOTHING: Final = Spent(0, 0, None, None)
_AMOUNTS: Final = ("busy_us", "idle_us")
_COSTS: Final = ("busy_nanousd", "idle_nanousd")
# What nobody has priced stays unknown until somebody does.
_SETS: Final = [f"{name} = hardware_hours.{name} + excluded.{name}" for name in _AMOUNTS] + [
    f"{name} = CASE WHEN excluded.{name} IS NULL THEN hardware_hours.{name} "
    f"ELSE coalesce(hardware_hours.{name}, 0) + excluded.{name} END"
    for name in _COSTS
]
_ADD: Final = (
    "INSERT INTO hardware_hours (hour_s, deployment, provider, busy_us, idle_us, busy_nanousd, idle_nanousd) "  # noqa: S608 - our words
    "VALUES (:hour_s, :deployment, :provider, :busy_us, :idle_us, :busy_nanousd, :idle_nanousd) "
    f"ON CONFLICT (hour_s, deployment) DO UPDATE SET {', '.join(_SETS)}"
)


class HardwareHours:
    """`clock` tells seconds since the epoch."""

    def __init__(self, times: HardwareTimes, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._times = times
        self._database = database
        self._clock = clock
        self._since_s = clock()
        self._written: dict[str, Spent] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_writing(), name="hardware-hours")

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self.write()

    async def write(self) -> None:
        """Add what came since the last time to the hour in which that was. Never raises `LedgerError`."""
        spent = {name: _whole_us(one) for name, one in self._times.spent().items()}
        hour_s = int(self._since_s) // HOUR_S * HOUR_S
        now_s = self._clock()
        more = {name: _grown(one, self._written.get(name, _NOTHING)) for name, one in spent.items()}
        rows = [self._row(hour_s, name, one) for name, one in more.items() if any(one)]
        try:
            if rows:
                await self._add(rows)
        except LedgerError as error:
            log.warning("the time of hardware could not be written down, which is tried again: %s", error)
            return
        self._written, self._since_s = spent, now_s

    async def _add(self, rows: list[dict[str, int | str | None]]) -> None:
        from sqlalchemy import text  # noqa: PLC0415 - not at start-up

        async with self._database.begin() as connection:
            await connection.execute(text(_ADD), rows)

    async def _keep_writing(self) -> None:
        while True:
            now_s = self._clock()
            await asyncio.sleep(min(EVERY_S, HOUR_S - now_s % HOUR_S))
            await self.write()

    def _row(self, hour_s: int, name: str, one: Spent) -> dict[str, int | str | None]:
        return {
            "hour_s": hour_s,
            "deployment": name,
            "provider": self._times.provider_of(name),
            "busy_us": one.busy_ns // 1000,
            "idle_us": one.idle_ns // 1000,
            "busy_nanousd": one.busy_nanousd,
            "idle_nanousd": one.idle_nanousd,
        }


def _whole_us(one: Spent) -> Spent:
    """What is less than a microsecond waits for more."""
    return one._replace(busy_ns=one.busy_ns // 1000 * 1000, idle_ns=one.idle_ns // 1000 * 1000)


def _grown(now: Spent, before: Spent) -> Spent:
    costs = (_more(now.busy_nanousd, before.busy_nanousd), _more(now.idle_nanousd, before.idle_nanousd))
    return Spent(now.busy_ns - before.busy_ns, now.idle_ns - before.idle_ns, *costs)


def _more(now: int | None, before: int | None) -> int | None:
    return None if now is None else now - (before or 0)
