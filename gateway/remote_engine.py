"""A bundled engine that runs elsewhere, reached over HTTP: an upstream like any other that tells how it stands.

Its numbers are asked for once a second, apart from calls, so that a burst meets a line that is known already; a header
on answers would be silent just when nobody has called for a while, and late when all calls are long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from math import isfinite
from typing import TYPE_CHECKING, Final

import msgspec

from adapters.base import WireRequest
from adapters.llama_cpp_place import HEADER, encode_place
from gateway.http_upstream import HttpUpstream
from gateway.places import patience_s, place_of
from gateway.transport import TransportError
from policies.choosing import Line
from policies.vocabulary import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.base import Adapter
    from gateway.transport import Pool
    from gateway.upstream import Answer, Exchange
    from policies.vocabulary import Deployment

log = logging.getLogger(__name__)

Number = str | int | float | None

INTERVAL_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
# Numbers that are older say nothing of the line any more.
FRESH_S: Final = 3.0
PATIENCE_S: Final = 2.0
ANSWER_BYTES: Final = 16 * 1024
NUMBERS_MAX: Final = 64
TEXT_CHARS: Final = 100
NUMBER_MAX: Final = 1 << 53
WAIT_MAX_S: Final = 86_400.0
_ASK: Final = WireRequest("/engine", b"", (), "GET")


class Told(msgspec.Struct, frozen=True):
    """What GET /v1/engine answers: whether the model is loaded, its line, and all live numbers."""

    ready: bool
    queued: int | None = None
    slots: int | None = None
    running: int | None = None
    wait_s: float | None = None
    is_cold: bool = False
    live: dict[str, Number] = msgspec.field(default_factory=dict)


class Silent(Exception):  # noqa: N818 - it names what the engine is
    """The engine did not tell, and why not, in a word that names no host."""


_DECODER = msgspec.json.Decoder(Told)


def read_told(body: bytes) -> Told:
    """The numbers, within bounds: whoever answers could say anything. Raises `Silent`."""
    try:
        told = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Silent("not_an_engine") from error
    live = {
        name: _bounded(value)
        for name, value in list(told.live.items())[:NUMBERS_MAX]
        if name.isidentifier() and len(name) <= TEXT_CHARS
    }
    return msgspec.structs.replace(
        told,
        queued=_count(told.queued),
        slots=_count(told.slots),
        running=_count(told.running),
        wait_s=_time(told.wait_s),
        live=live,
    )


def _count(value: int | None) -> int | None:
    return None if value is None else min(max(0, value), 1 << 31)


def _time(value_s: float | None) -> float | None:
    return None if value_s is None or not isfinite(value_s) else min(max(0.0, value_s), WAIT_MAX_S)


def _bounded(value: Number) -> Number:
    if isinstance(value, str):
        return "".join(filter(str.isprintable, value[:TEXT_CHARS]))
    if isinstance(value, int):
        return max(-NUMBER_MAX, min(value, NUMBER_MAX))
    return None if isinstance(value, float) and not isfinite(value) else value


def pause_s(failures: int) -> float:
    """How long until the engine is asked again, after so many questions in a row without an answer."""
    return min(LONGEST_PAUSE_S, INTERVAL_S * 2.0 ** min(failures, 10))


class EngineWatch:
    """Asks one engine for its numbers, again and again; `told` are the last ones and `told_s` is when they came.

    The pool is its own, so that no crowd of calls keeps it from asking.
    """

    def __init__(self, deployment: str, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self.told: Told | None = None
        self.told_s = 0.0
        self.silence = ""
        self._deployment = deployment
        self._pool = pool
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None

    @property
    def age_s(self) -> float:
        return self._clock() - self.told_s

    @property
    def is_fresh(self) -> bool:
        return self.told is not None and self.age_s <= FRESH_S

    def start(self) -> None:
        self._asking = asyncio.ensure_future(self._keep_asking())

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
            self._asking = None
        await self._pool.close()

    async def ask(self) -> None:
        """Ask once, and note what came of it."""
        try:
            told = await self._answer()
        except Silent as silent:
            if (word := str(silent)) != self.silence:
                log.warning("the engine of %s does not tell how it stands: %s", self._deployment, word)
                self.silence = word
            return
        if self.silence:
            log.info("the engine of %s tells how it stands again", self._deployment)
        self.told, self.told_s, self.silence = told, self._clock(), ""

    async def _answer(self) -> Told:
        try:
            response = await self._pool.request(
                _ASK, (), Timeouts(connect_s=PATIENCE_S), asyncio.get_running_loop().time() + PATIENCE_S
            )
            if response.status != 200:
                await response.read_start(ANSWER_BYTES, PATIENCE_S)
                raise Silent(f"status_{response.status}")
            body = await response.read_all(ANSWER_BYTES)
        except TransportError as error:
            raise Silent(error.failure.kind.value) from error
        return read_told(body)

    async def _keep_asking(self) -> None:
        failures = 0
        while True:
            await self.ask()
            failures = failures + 1 if self.silence else 0
            await asyncio.sleep(pause_s(failures))


def _wait_s(line: Line, told: Told) -> float | None:
    """How long a newcomer waits in this line, by what the engine said of the line as it was."""
    if line.is_cold or not line.is_full:
        return told.wait_s if line.is_cold else 0.0
    was = Line(told.queued or 0, told.running or 0, told.slots)
    if told.wait_s is not None and was.is_full:
        return told.wait_s * (line.queued + 1) / (was.queued + 1)
    # It was free when it said so: its runs hold their slots for so long.
    run_s = told.live.get("run_s")
    known = isinstance(run_s, int | float) and run_s > 0 and line.slots
    return _time((line.queued + 1) * float(run_s or 0) / (line.slots or 1)) if known else None


class RemoteEngine:
    """One deployment of an engine elsewhere."""

    def __init__(self, deployment: Deployment, pool: Pool, adapter: Adapter, watch: EngineWatch, secret: str) -> None:
        self._secret = secret
        self._http = HttpUpstream(deployment, pool, adapter)
        self._pool = pool
        self._watch = watch

    @property
    def ready(self) -> bool:
        """As far as is known: an engine that tells nothing may answer all the same."""
        told = self._watch.told
        return self._http.ready and (told is None or not self._watch.is_fresh or told.ready)

    @property
    def line(self) -> Line | None:
        """What it said of its line. Calls of ours are counted as they are now: those that went there since then make
        the line longer, and the wait in proportion.
        """
        told = self._watch.told
        if told is None:
            return None
        slots, ours = told.slots, self._pool.open_count - self._pool.idle_count
        beyond = 0 if slots is None else max(0, ours - slots)
        if not self._watch.is_fresh:
            return None if slots is None else Line(beyond, min(ours, slots), slots)
        running = max(told.running or 0, ours if slots is None else min(ours, slots))
        queued = max(told.queued or 0, beyond)
        line = Line(queued, running, slots, is_cold=told.is_cold)
        return line._replace(wait_s=_wait_s(line, told))

    def wake(self) -> None:
        """An engine elsewhere loads its model by itself."""

    def describe(self) -> Mapping[str, Number]:
        """The engine's own live numbers, how old they are, and this side's connections."""
        watch, told = self._watch, self._watch.told
        return {
            **({} if told is None else told.live),
            "told_s_ago": None if told is None else round(watch.age_s, 3),
            "silence": watch.silence or None,
            **self._http.describe(),
        }

    async def start(self) -> None:
        await self._http.start()
        self._watch.start()

    async def close(self) -> None:
        await self._watch.close()
        await self._http.close()

    async def send(self, exchange: Exchange) -> Answer:
        """The engine is told whose call it is, in digests, so that callers have their own places in its line."""
        place = place_of(exchange, patience_s(exchange, asyncio.get_running_loop().time()))
        headers = (*exchange.headers, (HEADER, encode_place(place, self._secret)))
        return await self._http.send(msgspec.structs.replace(exchange, headers=headers))
