"""The engines of a process: which models are in memory, and who gets room for another.

An engine is shared by all deployments of its provider and kept over reloads while its settings stay. What was idle
longest leaves first; what works, or is pinned, stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.errors import StartError
from gateway.local.serving.keeping import Engine, EngineSpec, Unavailable
from gateway.local.serving.supervisor import State
from policies.engine_memory import Loaded, Room, Verdict, room_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.local.frames import Load
    from gateway.local.serving.supervisor import Supervisor

log = logging.getLogger(__name__)


class EngineTooLarge(StartError):  # noqa: N818 - it names what is wrong
    """A model for which there would never be room."""


class Engines:
    """All of them, under one budget of memory; None is no bound."""

    def __init__(
        self,
        make: Callable[[EngineSpec], Supervisor],
        budget_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget_bytes = budget_bytes
        self.clock = clock
        self._make = make
        self._engines: dict[tuple[str, Load], Engine] = {}
        self._awaiting: list[asyncio.Future[None]] = []

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    def find(self, name: str) -> Engine | None:
        """The engine of a provider; the newest where a reload has just replaced it."""
        return next((one for one in reversed(self._engines.values()) if one.spec.name == name), None)

    def hold(self, spec: EngineSpec) -> Engine:
        """The engine for a spec, for another deployment. Raises `EngineTooLarge`."""
        engine = self._engines.get((spec.name, spec.load))
        if engine is None:
            if self.budget_bytes is not None and spec.needed_bytes > self.budget_bytes:
                raise EngineTooLarge(too_large(spec, self.budget_bytes))
            engine = self._engines[spec.name, spec.load] = Engine(spec, self._make(spec), self)
        engine.holders += 1
        engine.spec = spec
        if engine.state is State.UNLOADED and not spec.keeping.on_demand:
            self._load_if_free(engine)
        elif engine.is_at_hand:
            engine.rest()
        return engine

    async def release(self, engine: Engine) -> None:
        """A deployment is done with it; with the last one it is gone."""
        engine.holders -= 1
        if not engine.holders:
            self._engines.pop((engine.spec.name, engine.spec.load), None)
            await engine.close()
            self.changed()

    def set_budget(self, budget_bytes: int | None) -> None:
        """From now on. Whoever is in memory stays until room is asked for."""
        self.budget_bytes = budget_bytes
        self.changed()

    def changed(self) -> None:
        """Something may be possible now that was not: whoever waits for room looks again."""
        awaiting, self._awaiting = self._awaiting, []
        for future in awaiting:
            if not future.done():
                future.set_result(None)
        for engine in self._engines.values():
            if not engine.loads and engine.state is State.UNLOADED and not engine.spec.keeping.on_demand:
                self._load_if_free(engine)

    async def make_room(self, engine: Engine) -> None:
        """Return once there is room for this engine, which is then its own. Raises `Unavailable`."""
        if engine.occupies:
            return
        while (room := self._room(engine)).verdict is Verdict.LATER:
            future = asyncio.get_running_loop().create_future()
            self._awaiting.append(future)
            await future
        if room.verdict is Verdict.NEVER:
            message = f"{too_large(engine.spec, self.budget_bytes or 0)}, beside what is pinned."
            log.error("%s", message)
            raise Unavailable("There is no room for this model.", "engine_down", is_down=True)
        engine.occupies = True
        await asyncio.gather(*(one.unload() for one in self if _tag(one) in room.unload))

    def _load_if_free(self, engine: Engine) -> None:
        """Load without asking anybody to leave."""
        if self._room(engine) == Room(Verdict.NOW):
            engine.occupies = True
            engine.load()
        else:
            log.warning("no room for the model of %s now: it is loaded when it is called", engine.spec.name)

    def _room(self, engine: Engine) -> Room:
        newest = {one.spec.name: one for one in self}
        others = [
            Loaded(
                _tag(one),
                one.spec.needed_bytes,
                one.used_s,
                is_busy=one.is_busy,
                is_pinned=one.spec.keeping.pinned and newest[one.spec.name] is one,
            )
            for one in self
            if one.occupies and one is not engine
        ]
        return room_for(engine.spec.needed_bytes, others, self.budget_bytes)

    async def close(self) -> None:
        engines, self._engines = list(self._engines.values()), {}
        await asyncio.gather(*(engine.close() for engine in engines))


def too_large(spec: EngineSpec, budget_bytes: int) -> str:
    """Why there is no room, with the numbers."""
    needed, budget = spec.needed_bytes / (1 << 20), budget_bytes / (1 << 20)
    return f"the model of {spec.name} takes about {needed:,.0f} MiB, and engines.memory is {budget:,.0f} MiB"


def _tag(engine: Engine) -> str:
    """Tells engines apart that a reload has given one name."""
    return f"{engine.spec.name}/{id(engine)}"
