"""Engines under one budget: who gets room, who leaves, who stays."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.local.serving.engines import Engines, EngineTooLarge
from gateway.local.serving.keeping import Keeping, Unavailable
from gateway.local.serving.supervisor import State
from tests.gateway.local.serving.fake_supervisor import FakeSupervisor, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.local.serving.keeping import Engine, EngineSpec

PINNED = Keeping(on_demand=True, pinned=True)
AT_START = Keeping()


class World:
    def __init__(self, budget_bytes: int | None, *, at_once: bool) -> None:
        self.now = 0.0
        self.at_once = at_once
        self.fakes: dict[str, FakeSupervisor] = {}
        self.engines = Engines(self.made, budget_bytes, lambda: self.now)  # type: ignore[arg-type]  # stand-ins

    def made(self, made_from: EngineSpec) -> FakeSupervisor:
        fake = self.fakes[made_from.load.model_path] = FakeSupervisor(made_from, at_once=self.at_once)
        return fake

    async def use(self, engine: Engine) -> None:
        """One call, a second after the last."""
        self.now += 1.0
        engine.enter()
        try:
            await engine.until_ready(soon())
        finally:
            engine.leave()

    @property
    def present(self) -> set[str]:
        return {engine.spec.name for engine in self.engines if engine.state is State.READY}


@asynccontextmanager
async def world(budget_bytes: int | None = 100, *, at_once: bool = True) -> AsyncIterator[World]:
    made = World(budget_bytes, at_once=at_once)
    yield made
    await made.engines.close()
    assert {fake.state for fake in made.fakes.values()} <= {State.STOPPED}


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def passing() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_provider_has_one_engine_while_its_settings_stay() -> None:
    async with world() as made:
        first = made.engines.hold(spec("a"))
        assert made.engines.hold(spec("a", keeping=PINNED)) is first
        assert first.spec.keeping.pinned, "how long it is kept may change"
        other = made.engines.hold(spec("a", chat_template="x"))
        assert other is not first
        assert made.engines.hold(spec("b")) not in (first, other)
        assert made.engines.find("a") is other
        await made.engines.release(first)
        assert made.fakes["a.gguf"].history == []
        await made.engines.release(first)
        assert first.state is State.STOPPED
        assert made.engines.find("a") is other


async def test_the_one_idle_longest_leaves() -> None:
    async with world() as made:
        a, b, c = (made.engines.hold(spec(name)) for name in "abc")
        await made.use(a)
        await made.use(b)
        assert made.present == {"a", "b"}
        await made.use(a)
        await made.use(c)
        assert made.present == {"a", "c"}
        await made.use(b)
        assert made.present == {"b", "c"}


async def test_without_a_budget_all_stay() -> None:
    async with world(None) as made:
        for name in "abcdef":
            await made.use(made.engines.hold(spec(name, 1 << 60)))
        assert made.present == set("abcdef")


async def test_what_is_pinned_stays_and_what_works_is_waited_for() -> None:
    async with world() as made:
        a, b, c = (
            made.engines.hold(spec("a", keeping=PINNED)),
            made.engines.hold(spec("b")),
            made.engines.hold(spec("c")),
        )
        await made.use(a)
        b.enter()
        await b.until_ready(soon())
        waiting = asyncio.ensure_future(made.use(c))
        await passing()
        assert (made.present, c.state) == ({"a", "b"}, State.UNLOADED)
        b.leave()
        await waiting
        assert made.present == {"a", "c"}


async def test_who_waits_for_room_in_vain_is_told_in_time() -> None:
    async with world() as made:
        a, b = made.engines.hold(spec("a", 90)), made.engines.hold(spec("b", 90))
        a.enter()
        await a.until_ready(soon())
        with pytest.raises(Unavailable) as late:
            await b.until_ready(soon(0.02))
        assert (late.value.code, late.value.retry_after_s) == ("engine_loading", 1.0)
        a.leave()
        await b.until_ready(soon())
        assert made.present == {"b"}


async def test_a_model_that_can_never_fit_is_refused_with_the_numbers() -> None:
    async with world(1 << 30) as made:
        with pytest.raises(EngineTooLarge, match=r"takes about 2,048 MiB, and engines\.memory is 1,024 MiB"):
            made.engines.hold(spec("a", 2 << 30))
        assert made.engines.find("a") is None


async def test_no_room_beside_what_is_pinned_is_told_at_once() -> None:
    async with world() as made:
        await made.use(made.engines.hold(spec("a", 70, PINNED)))
        with pytest.raises(Unavailable) as down:
            await made.engines.hold(spec("b")).until_ready(soon())
        assert down.value.is_down


async def test_models_that_are_loaded_at_the_start_push_nobody_out() -> None:
    async with world() as made:
        for name in "abc":
            made.engines.hold(spec(name, keeping=AT_START))
        await passing()
        assert made.present == {"a", "b"}
        engine = made.engines.find("c")
        assert engine is not None
        await made.use(engine)
        assert made.present == {"b", "c"}


async def test_a_model_of_the_start_comes_when_room_does() -> None:
    """As after a reload with other settings: the old worker leaves when its last call is over."""
    async with world(50) as made:
        old = made.engines.hold(spec("a", keeping=AT_START))
        await passing()
        old.enter()
        new = made.engines.hold(spec("a", keeping=AT_START, chat_template="new"))
        await passing()
        assert (old.state, new.state) == (State.READY, State.UNLOADED)
        old.leave()
        await made.engines.release(old)
        await passing()
        assert (old.state, new.state) == (State.STOPPED, State.READY)


async def test_what_a_reload_has_replaced_is_pinned_no_longer() -> None:
    async with world(50) as made:
        old = made.engines.hold(spec("a", keeping=PINNED))
        await made.use(old)
        new = made.engines.hold(spec("a", keeping=PINNED, chat_template="new"))
        await made.use(new)
        assert (old.state, new.state) == (State.UNLOADED, State.READY)


async def test_a_smaller_budget_binds_the_next_load() -> None:
    async with world() as made:
        a, b = made.engines.hold(spec("a")), made.engines.hold(spec("b"))
        await made.use(a)
        await made.use(b)
        made.engines.set_budget(50)
        assert made.present == {"a", "b"}
        await made.use(made.engines.hold(spec("c")))
        assert made.present == {"c"}


async def test_loads_side_by_side_never_take_more_than_the_budget() -> None:
    async with world(at_once=False) as made:
        engines = [made.engines.hold(spec(name)) for name in "abcde"]
        calls = [asyncio.ensure_future(made.use(engine)) for engine in engines]
        for _ in range(5):
            await passing()
            occupied = [engine for engine in engines if engine.occupies]
            assert len(occupied) <= 2
            for engine in occupied:
                if engine.state is State.LOADING:
                    made.fakes[f"{engine.spec.name}.gguf"].come()
        await asyncio.gather(*calls)
        assert {engine.loads for engine in engines} == {1}
