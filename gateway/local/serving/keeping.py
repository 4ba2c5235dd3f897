"""One engine: a worker with one model, loaded when it is wanted, unloaded when nobody was for a while."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.local.serving.second_tries import SecondTries
from gateway.local.serving.supervisor import State
from policies.choosing import Line
from policies.engine_line import Ahead, EngineNow, newcomer_wait_s
from policies.engine_memory import USUAL_SLOTS

if TYPE_CHECKING:
    from gateway.local.frames import Load
    from gateway.local.serving.supervisor import Supervisor

log = logging.getLogger(__name__)

_FIRST_GUESS_BYTES_PER_S: Final = 1 << 30
_SOONEST_S: Final = 1.0
_AT_HAND: Final = frozenset({State.LOADING, State.READY, State.RESTARTING, State.FAILED})
_LEAVING: Final = frozenset({State.UNLOADED, State.DRAINING})
_COMING: Final = frozenset({State.READY, State.UNLOADED, State.DRAINING})
_MOVING: Final = frozenset({State.LOADING, State.DRAINING, State.RESTARTING})


class Unavailable(Exception):  # noqa: N818 - it names the engine's state
    """An engine that cannot serve in time. `is_down`: waiting does not help."""

    def __init__(self, message: str, code: str, retry_after_s: float | None = None, *, is_down: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s
        self.is_down = is_down


class Keeping(NamedTuple):
    """When a model is loaded, and how long it stays: None for ever, if nobody else needs the memory."""

    on_demand: bool = False
    keep_alive_s: float | None = None
    pinned: bool = False


FOR_EVER: Final = Keeping()


class Home(Protocol):
    """Where engines live together."""

    def clock(self) -> float: ...

    def changed(self) -> None: ...

    async def make_room(self, engine: Engine) -> None: ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is made from. `name` is its provider's, `needed_bytes` what it is reckoned to take."""

    name: str
    load: Load
    keeping: Keeping = FOR_EVER
    needed_bytes: int = 0


class Engine:
    """One model and its worker. `places` counts the calls that wait or run."""

    def __init__(self, spec: EngineSpec, supervisor: Supervisor, home: Home) -> None:
        self.spec = spec
        self.supervisor = supervisor
        self.places = 0
        self.holders = 0
        self.loads = 0
        self.ids = itertools.count(1)
        self.second_tries = SecondTries()
        self.used_s = home.clock()
        self.occupies = False
        self._home = home
        self._loading: asyncio.Task[None] | None = None
        self._unloading: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._began_s = 0.0

    @property
    def state(self) -> State:
        return self.supervisor.state

    @property
    def is_cold(self) -> bool:
        return self.state not in (State.READY, State.FAILED, State.STOPPED)

    @property
    def comes_when_called(self) -> bool:
        """It is there, or will be with the first call. A model that comes and goes is not missing while it comes."""
        comes_and_goes = self.spec.keeping.on_demand or self.loads > 1
        return self.state in _COMING or (self.state is State.LOADING and comes_and_goes)

    @property
    def is_at_hand(self) -> bool:
        """It has a worker, or will have one again in a moment."""
        return self.state in _AT_HAND

    @property
    def is_busy(self) -> bool:
        is_next = self.occupies and self.state is State.UNLOADED
        return bool(self.places) or is_next or self.state in _MOVING

    @property
    def slots(self) -> int:
        """How many calls are computed at once."""
        facts = self.supervisor.facts
        return facts.slots if facts else self.spec.load.tuning.slots or USUAL_SLOTS

    @property
    def line(self) -> Line:
        """Who waits and how long a newcomer would, for its model first if that is not there. Calls are counted as they
        are now; the choices that some of them have more of, and paces, are a fraction of a second old.
        """
        now, slots = self.supervisor.standing, self.slots
        running, queued = 0, 0
        if self.places:
            running = min(slots, max(self.places, now.running))
            queued = max(0, self.places - slots, now.waiting)
        # A mean of runs that shared a full engine, as it is whenever somebody waits.
        engine = EngineNow(slots, running, now.reading_tokens, now.read_tokens_per_s, now.run_s, slots)
        wait_s = newcomer_wait_s(Ahead(queued, now.waiting_tokens), engine)
        if self.is_cold:
            return Line(queued, running, slots, self.load_left_s() + (wait_s or 0.0), is_cold=True)
        return Line(queued, running, slots, wait_s)

    @property
    def line_is_full(self) -> bool:
        """Whether more calls wait for the model than may wait for its engine, which is not there to say so itself."""
        return self.state is not State.READY and self.places > self.spec.load.max_waiting + self.slots

    def enter(self) -> None:
        """A call wants this engine: from now until it leaves the engine is not unloaded."""
        self.places += 1
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def leave(self) -> None:
        self.places -= 1
        self.rest()

    def rest(self) -> None:
        """Note that nothing is to be done; from here its time to be kept runs."""
        if self.places:
            return
        self.used_s = self._home.clock()
        keep_alive_s = self.spec.keeping.keep_alive_s
        if self._expiry is not None:
            self._expiry.cancel()
        if keep_alive_s is not None and self.is_at_hand:
            self._expiry = asyncio.get_running_loop().call_later(keep_alive_s, self._expire)
        self._home.changed()

    def describe(self) -> dict[str, str | int | float | None]:
        """Live numbers. `in_engine` counts calls that wait or run, as the gateway knows them; `waiting` and what comes
        after it are the worker's own, a fraction of a second old.
        """
        supervisor, load = self.supervisor, self.spec.load
        facts, now = supervisor.facts, supervisor.standing
        cold_s, line = supervisor.cold_start_s, self.line
        return {
            "state": self.state.value,
            "loaded_percent": supervisor.percent,
            "pid": supervisor.pid,
            "restarts": supervisor.restarts,
            "loads": self.loads,
            "in_engine": self.places,
            "queued": line.queued,
            "wait_s": None if line.wait_s is None else round(line.wait_s, 3),
            "max_queue": load.max_waiting,
            "slots": self.slots,
            "context_tokens": facts.context_tokens if facts else None,
            "threads": facts.threads if facts else None,
            "task": load.task,
            "devices": ", ".join(facts.devices) if facts else None,
            "load_s": round(facts.load_s, 3) if facts else None,
            "cold_start_s": None if cold_s is None else round(cold_s, 3),
            "memory_bytes": self.spec.needed_bytes,
            "waiting": now.waiting,
            "waiting_tokens": now.waiting_tokens,
            "running": now.running,
            "reading_tokens": now.reading_tokens,
            "known_cells": now.known_cells,
            "cells": now.cells,
            "read_tokens_per_s": round(now.read_tokens_per_s, 1),
            "write_tokens_per_s": round(now.write_tokens_per_s, 1),
            "cached_tokens": now.cached_tokens,
            "run_s": round(now.run_s, 3),
            "steps": now.steps,
            "step_s": round(now.step_s, 6),
            "python_s": round(now.python_s, 6),
            "guessed_tokens": now.guessed_tokens,
            "accepted_tokens": now.accepted_tokens,
        }

    async def until_alone(self, until_s: float) -> None:
        """Wait for the only place for calls that were there when an engine died. Raises `Unavailable`."""
        try:
            await self.second_tries.enter(until_s)
        except TimeoutError:
            message = "The bundled engine crashed, and other requests that were there are tried again first."
            raise Unavailable(message, "engine_busy", _SOONEST_S) from None

    async def until_ready(self, until_s: float) -> None:
        """Wait for the model, and have it loaded where it is not. Raises `Unavailable`, at once where its load is known
        to take longer than until `until_s` on the loop's clock; the load goes on then, for those who come back.
        """
        if self.line_is_full:
            message = "As many calls as may wait for this model do."
            raise Unavailable(message, "engine_busy", self.late().retry_after_s)
        while self.state is not State.READY:
            if self.state in (State.FAILED, State.STOPPED):
                raise _down()
            loading = self.load() if self.state in _LEAVING else None
            left_s = self.known_wait_s()
            if left_s is not None and asyncio.get_running_loop().time() + left_s > until_s:
                raise self.late()
            try:
                async with asyncio.timeout_at(until_s):
                    await (asyncio.shield(loading) if loading else self.supervisor.until_settled())
            except TimeoutError:
                raise self.late() from None
            except asyncio.CancelledError:
                if loading is None or not loading.cancelled():
                    raise
                raise _down() from None  # the gateway closes, not the caller

    def wake(self) -> None:
        """Have the model loaded for calls to come, where it is not."""
        if self.state in _LEAVING:
            self.load()

    def load(self) -> asyncio.Task[None]:
        """The load that is under way, or a new one."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.ensure_future(self._load())
            self._loading.add_done_callback(_heard)
        return self._loading

    def unload(self) -> asyncio.Task[None]:
        """Give the memory back; calls that are under way are lost."""
        if self._unloading is None or self._unloading.done():
            if self._expiry is not None:
                self._expiry.cancel()
            self.supervisor.drain()
            self._unloading = asyncio.ensure_future(self._unload())
        return self._unloading

    def known_wait_s(self) -> float | None:
        """How long the model still takes to be ready, as far as an earlier load tells."""
        whole_s = self.supervisor.cold_start_s
        if self.state is State.READY or whole_s is None:
            return None
        if self.state is not State.LOADING:
            return whole_s
        left_s = whole_s - (asyncio.get_running_loop().time() - self._began_s)
        return left_s if left_s > 0 else None

    def load_left_s(self) -> float:
        """How long the model still takes to be ready, as far as that can be told."""
        known_s = self.known_wait_s()
        return self._guessed_wait_s() if known_s is None else known_s

    def late(self) -> Unavailable:
        message = "The bundled engine is still loading its model."
        return Unavailable(message, "engine_loading", max(_SOONEST_S, self.load_left_s()))

    def _guessed_wait_s(self) -> float:
        """By how much is loaded already, else by its size."""
        percent = self.supervisor.percent
        if self.state is State.LOADING and 0 < percent < 100:
            return (asyncio.get_running_loop().time() - self._began_s) * (100 - percent) / percent
        return self.spec.needed_bytes / _FIRST_GUESS_BYTES_PER_S

    async def _load(self) -> None:
        if self._unloading is not None:
            await asyncio.wait([self._unloading])
        await self._home.make_room(self)
        self._began_s = asyncio.get_running_loop().time()
        self.loads += 1
        self.supervisor.start()
        await self.supervisor.until_settled()
        self.rest()

    async def _unload(self) -> None:
        await self.supervisor.stop()
        self.occupies = False
        self._home.changed()

    def _expire(self) -> None:
        self._expiry = None
        if not self.is_busy and self.is_at_hand:
            log.info("the model of %s was idle and leaves memory", self.spec.name)
            self.unload()

    async def close(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        moving = [task for task in (self._loading, self._unloading) if task is not None and not task.done()]
        for task in moving:
            task.cancel()
        await asyncio.gather(*moving, return_exceptions=True)
        await self.supervisor.close()
        self.occupies = False


def _down() -> Unavailable:
    return Unavailable("The bundled engine does not run; the gateway's log says why.", "engine_down", is_down=True)


def _heard(task: asyncio.Task[None]) -> None:
    """A load that nobody waits for may fail all the same."""
    if not task.cancelled():
        task.exception()
