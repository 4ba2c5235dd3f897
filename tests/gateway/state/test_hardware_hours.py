from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.state.database import DatabaseUnavailable
from gateway.state.hardware_hours import HardwareHours
from policies.hardware_cost import NS_PER_S
from tests.gateway.state.ledger_rows import asked
from tests.gateway.state.test_hardware import RENTED, A, B, Clock, begun, following

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from gateway.state.database import Database

HOUR_S = 1_795_348_800
NAMES = "hour_s, deployment, provider, busy_us, idle_us, busy_nanousd, idle_nanousd"
ALL = f"SELECT {NAMES} FROM hardware_hours ORDER BY 1, 2"  # noqa: S608 - our words


def wall(clock: Clock) -> float:
    """The wall clock at noon when the other was started."""
    return HOUR_S + (clock.now_ns - 10**12) / NS_PER_S


async def test_each_hour_has_what_came_in_it(database: Database) -> None:
    times, clock = following(A)
    hours = HardwareHours(times, database, lambda: wall(clock))
    timed = begun(times, A)
    clock.sleep(900)
    timed.end(None)
    await hours.write()
    clock.sleep(2700)
    await hours.write()
    clock.sleep(3600)
    await hours.write()
    usd, hour_us = 10**9, 3600 * 10**6
    assert await asked(database, ALL) == [
        (HOUR_S, "a", "vllm", hour_us // 2, hour_us * 3 // 2, usd, 3 * usd),
        (HOUR_S + 3600, "a", "vllm", 0, 2 * hour_us, 0, 4 * usd),
    ]


async def test_processes_add_up_and_what_was_not_taken_comes_with_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("gateway.state.hardware_hours").disabled = False
    first, clock = following(A, workers=2)
    second, other_clock = following(A, workers=2)
    hours = [
        HardwareHours(first, database, lambda: wall(clock)),
        HardwareHours(second, database, lambda: wall(other_clock)),
    ]
    clock.sleep(60)
    other_clock.sleep(60)

    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        raise DatabaseUnavailable("it is away")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(database, "begin", away)
        await hours[0].write()
    assert "tried again: it is away" in caplog.text
    assert await asked(database, ALL) == []
    for one in hours:
        await one.write()
    assert await asked(database, ALL) == [(HOUR_S, "a", "vllm", 0, 120 * 10**6, 0, 4 * 10**9 // 60 // 2 * 2)]


async def test_hardware_gets_a_price_on_the_way(database: Database) -> None:
    unpriced = replace(A, hardware=RENTED._replace(nanousd_per_hour=None))
    times, clock = following(unpriced)
    hours = HardwareHours(times, database, lambda: wall(clock))
    clock.sleep(60)
    await hours.write()
    assert (await asked(database, ALL))[0][5:] == (None, None)
    times.take_over([A])
    clock.sleep(900)
    await hours.write()
    assert (await asked(database, ALL))[0][5:] == (0, 10**9)


async def test_what_is_left_is_written_at_the_end_and_nothing_where_there_is_none(database: Database) -> None:
    times, clock = following(A, B)
    hours = HardwareHours(times, database, lambda: wall(clock))
    await hours.close()
    clock.sleep(2)
    assert await asked(database, ALL) == []
    hours.start()
    await hours.close()
    assert [row[1:5] for row in await asked(database, ALL)] == [
        ("a", "vllm", 0, 2 * 10**6),
        ("b", "vllm", 0, 2 * 10**6),
    ]
    nobody, _ = following()
    hours = HardwareHours(nobody, database)
    await hours.write()
    assert len(await asked(database, ALL)) == 2
