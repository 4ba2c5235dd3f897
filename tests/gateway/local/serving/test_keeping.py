"""One engine: loaded when it is wanted, by one load for all, and unloaded when nobody was for a while."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.local.frames import Standing
from gateway.local.serving.keeping import Engine, Keeping, Unavailable
from gateway.local.serving.supervisor import State
from policies.choosing import Line
from tests.gateway.local.serving.fake_supervisor import FakeSupervisor, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.local.serving.keeping import EngineSpec


class Home:
    """Where there is always room."""

    def __init__(self) -> None:
        self.now = 0.0
        self.changes = 0

    def clock(self) -> float:
        return self.now

    def changed(self) -> None:
        self.changes += 1

    async def make_room(self, engine: Engine) -> None:
        engine.occupies = True


@asynccontextmanager
async def engine_of(made_from: EngineSpec, *, at_once: bool = True) -> AsyncIterator[tuple[Engine, FakeSupervisor]]:
    supervisor = FakeSupervisor(made_from, at_once=at_once)
    engine = Engine(made_from, supervisor, Home())  # type: ignore[arg-type]  # a stand-in
    yield engine, supervisor
    await engine.close()
    assert supervisor.state is State.STOPPED


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def passing() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_call_loads_and_all_wait_for_one_load() -> None:
    async with engine_of(spec("a"), at_once=False) as (engine, supervisor):
        waiting = [asyncio.ensure_future(engine.until_ready(soon())) for _ in range(5)]
        await passing()
        assert (supervisor.history, engine.is_cold) == (["load"], True)
        supervisor.come()
        await asyncio.gather(*waiting)
        assert (engine.loads, engine.is_cold) == (1, False)
        await engine.until_ready(soon())
        assert supervisor.history == ["load"]


@pytest.mark.parametrize(("keeping", "while_loading"), [(Keeping(), False), (Keeping(on_demand=True), True)])
async def test_a_model_that_comes_and_goes_is_not_missing_while_it_comes(
    keeping: Keeping,
    while_loading: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    async with engine_of(spec("a", keeping=keeping), at_once=False) as (engine, supervisor):
        engine.load()
        await passing()
        assert (engine.state, engine.comes_when_called) == (State.LOADING, while_loading)
        supervisor.come()
        await engine.until_ready(soon())
        await engine.unload()
        engine.load()
        await passing()
        assert (engine.state, engine.comes_when_called) == (State.LOADING, True)


async def test_a_caller_who_leaves_takes_no_load_along() -> None:
    async with engine_of(spec("a"), at_once=False) as (engine, supervisor):
        leaving = asyncio.ensure_future(engine.until_ready(soon()))
        await passing()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        supervisor.come()
        await engine.until_ready(soon())
        assert supervisor.history == ["load"]


async def test_who_cannot_wait_as_long_as_a_load_is_known_to_take_is_told_at_once_and_the_load_goes_on() -> None:
    async with engine_of(spec("a"), at_once=False) as (engine, supervisor):
        supervisor.cold_start_s = 20.0
        with pytest.raises(Unavailable) as late:
            await engine.until_ready(soon(5))
        assert (late.value.code, late.value.retry_after_s, late.value.is_down) == ("engine_loading", 20.0, False)
        await passing()
        assert supervisor.history == ["load"]
        with pytest.raises(Unavailable) as later:
            await engine.until_ready(soon(5))
        assert later.value.retry_after_s == pytest.approx(20.0, abs=1.0)
        supervisor.come()
        await engine.until_ready(soon(5))


async def test_a_first_load_is_waited_for_as_long_as_the_caller_can() -> None:
    async with engine_of(spec("a", needed_bytes=3 << 30), at_once=False) as (engine, supervisor):
        with pytest.raises(Unavailable) as late:
            await engine.until_ready(soon(0.01))
        assert (late.value.code, late.value.retry_after_s) == ("engine_loading", 3.0)
        supervisor.percent = 50
        with pytest.raises(Unavailable) as later:
            await engine.until_ready(soon(0.01))
        assert later.value.retry_after_s == 1.0


async def test_an_engine_that_failed_is_not_waited_for() -> None:
    async with engine_of(spec("a"), at_once=False) as (engine, supervisor):
        waiting = asyncio.ensure_future(engine.until_ready(soon()))
        await passing()
        supervisor.settle(State.FAILED)
        with pytest.raises(Unavailable) as down:
            await waiting
        assert (down.value.code, down.value.is_down) == ("engine_down", True)
        assert not engine.comes_when_called


async def test_no_more_calls_wait_for_a_model_than_may() -> None:
    async with engine_of(spec("a", max_waiting=1), at_once=False) as (engine, supervisor):
        supervisor.cold_start_s = 9.0
        for _ in range(6):
            engine.enter()
        with pytest.raises(Unavailable) as full:
            await engine.until_ready(soon(60))
        assert (full.value.code, full.value.retry_after_s) == ("engine_busy", 9.0)
        engine.leave()
        waiting = asyncio.ensure_future(engine.until_ready(soon(60)))
        await passing()
        supervisor.come()
        await waiting


async def test_nobody_for_a_while_and_the_model_leaves() -> None:
    async with engine_of(spec("a", keeping=Keeping(on_demand=True, keep_alive_s=0.05))) as (engine, supervisor):
        engine.enter()
        await engine.until_ready(soon())
        await asyncio.sleep(0.1)
        assert engine.state is State.READY, "it is at work"
        engine.leave()
        engine.enter()
        await asyncio.sleep(0.1)
        assert engine.state is State.READY, "another call came"
        engine.leave()
        await asyncio.sleep(0.1)
        assert (engine.state, engine.occupies) == (State.UNLOADED, False)
        await engine.until_ready(soon())
        assert supervisor.history == ["load", "unload", "load"]


@pytest.mark.parametrize("keeping", [Keeping(), Keeping(pinned=True)])
async def test_without_a_time_a_model_stays(keeping: Keeping) -> None:
    async with engine_of(spec("a", keeping=keeping)) as (engine, _):
        await engine.until_ready(soon())
        engine.enter()
        engine.leave()
        await asyncio.sleep(0.05)
        assert engine.state is State.READY


async def test_who_comes_while_the_model_leaves_gets_it_back() -> None:
    async with engine_of(spec("a")) as (engine, supervisor):
        await engine.until_ready(soon())
        engine.unload()
        assert engine.state is State.DRAINING
        await engine.until_ready(soon())
        assert supervisor.history == ["load", "unload", "load"]
        assert engine.occupies


async def test_a_close_while_it_loads_tells_those_who_wait() -> None:
    async with engine_of(spec("a"), at_once=False) as (engine, _):
        waiting = asyncio.ensure_future(engine.until_ready(soon()))
        await passing()
        await engine.close()
        with pytest.raises(Unavailable) as down:
            await waiting
        assert down.value.is_down


async def test_live_numbers_tell_what_happened() -> None:
    async with engine_of(spec("a", needed_bytes=7)) as (engine, _):
        engine.enter()
        await engine.until_ready(soon())
        shown = engine.describe()
        assert (shown["state"], shown["in_engine"], shown["loads"], shown["slots"]) == ("ready", 1, 1, 2)
        assert (shown["cold_start_s"], shown["memory_bytes"], shown["queued"]) == (0.01, 7, 0)
        engine.leave()


# --- the line ---


async def test_the_line_counts_calls_at_once_and_choices_as_the_worker_tells() -> None:
    async with engine_of(spec("a")) as (engine, supervisor):
        await engine.until_ready(soon())  # two slots
        assert engine.line == Line(0, 0, 2, 0.0)
        supervisor.standing = Standing(running=2, waiting=3, run_s=4.0)  # of a moment ago, when somebody was there
        assert engine.line == Line(0, 0, 2, 0.0)
        supervisor.standing = Standing()
        engine.enter()
        assert engine.line == Line(0, 1, 2, 0.0)
        engine.enter()
        assert engine.line == Line(0, 2, 2, None)  # nobody knows how long a call takes here
        supervisor.standing = Standing(run_s=4.0)
        assert engine.line == Line(0, 2, 2, 2.0)
        engine.enter()
        assert engine.line == Line(1, 2, 2, 4.0)
        supervisor.standing = Standing(running=2, waiting=3, run_s=4.0)  # some have several choices
        assert engine.line == Line(3, 2, 2, 8.0)
        shown = engine.describe()
        assert (shown["queued"], shown["wait_s"]) == (3, 8.0)


async def test_reading_takes_its_time_too() -> None:
    async with engine_of(spec("a")) as (engine, supervisor):
        await engine.until_ready(soon())
        engine.enter()
        engine.enter()
        supervisor.standing = Standing(running=2, reading_tokens=2_000, read_tokens_per_s=100.0, run_s=0.1)
        assert engine.line.wait_s == pytest.approx(10.0)  # half of them, until one of the two is through


async def test_a_model_that_is_not_loaded_is_part_of_the_wait() -> None:
    async with engine_of(spec("a", 3 << 30), at_once=False) as (engine, supervisor):
        assert engine.line == Line(0, 0, 4, 3.0, is_cold=True)  # by its size
        engine.wake()
        engine.wake()
        await passing()
        assert supervisor.history == ["load"]
        supervisor.come(cold_start_s=7.0)
        assert engine.line == Line(0, 0, 2, 0.0)
        await engine.unload()
        assert engine.line == Line(0, 0, 2, 7.0, is_cold=True)  # as long as last time
        engine.wake()
        await passing()
        left_s = engine.line.wait_s
        assert left_s is not None
        assert 6.0 < left_s <= 7.0


async def test_nobody_is_woken_who_is_there_or_is_gone() -> None:
    async with engine_of(spec("a")) as (engine, supervisor):
        await engine.until_ready(soon())
        engine.wake()
        supervisor.settle(State.FAILED)
        engine.wake()
        await passing()
        assert supervisor.history == ["load"]
        assert engine.line == Line(0, 0, 2, 0.0)  # it says no at once
