"""Answers from what was answered before, for routes that say so: the same request, one much like it, one that means the
same; else the call is made, once for all who ask alike at that moment, and its answer is kept.

It stands behind the limits, so nobody is served whose key is revoked or whose limits are used up: a hit gives back what
was reserved for it, but a call that does not fit its limits is refused although its answer may be here.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.caching.asked import Asked, asked_of
from gateway.caching.captured import captured
from gateway.caching.following import Followed
from gateway.caching.lookup import Doubtful, Found
from gateway.caching.served import Serving
from gateway.caching.shadow import Hit
from gateway.caching.views import Views
from gateway.call import Cached, Reply
from gateway.errors import RequestError
from gateway.records.settlement import CACHE_MISS
from gateway.signals.conventions import Mark
from gateway.state.answers.store import StoreUnavailable
from policies.cache_rules import Bypass, Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from gateway.caching.flights import Flight, Flights
    from gateway.caching.judge import Judge
    from gateway.caching.keeping import Keeper
    from gateway.caching.lookup import Lookup
    from gateway.caching.served import Served
    from gateway.caching.shadow import Shadow
    from gateway.call import Call
    from gateway.pipeline import Handler
    from policies.cache_rules import CacheRules, SemanticRules
    from policies.vocabulary import Route

TAKEOVERS_MAX: Final = 4
CACHE: Final = Mark.CACHE


class Aside(NamedTuple):
    """What the cache asks models for by itself: a judge of doubtful candidates, and checks of hits."""

    judge: Judge
    shadow: Shadow


class Tools(NamedTuple):
    """What the stage works with. `clock` tells Unix seconds."""

    lookup: Lookup
    keeper: Keeper
    flights: Flights
    served: Served
    aside: Aside
    rng: Random
    clock: Callable[[], float] = time.time


class CacheStage:
    """Raises `RequestError`: 400 for tags that are none, 504 where a caller wants what is kept and nothing is."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._lookup = tools.lookup
        self._views = Views()

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        route = call.route
        if route is None or route.cache is None:
            return then(call)
        return self._cached(call, then, route, route.cache)

    async def _cached(self, call: Call, then: Handler, route: Route, rules: CacheRules) -> Reply:
        began_s = time.perf_counter()
        cached = call.cached = Cached()
        asked = asked_of(call, route, rules, self._views)
        if isinstance(asked, Bypass):
            return await self._leave_alone(call, then, asked)
        found = None
        if asked.directives.no_cache:
            asked.look_closer()
        else:
            try:
                found = await self._lookup.by_words(call, asked)
            except StoreUnavailable:
                return await self._leave_alone(call, then, Bypass.UNAVAILABLE)
        cached.lookup_s = time.perf_counter() - began_s
        if found is not None and (reply := self._serve(call, asked, found)) is not None:
            self._lookup.passed(call, asked)
            return reply
        cached.closed = asked.closed
        return await self._beyond_words(call, then, asked)

    async def _leave_alone(self, call: Call, then: Handler, why: Bypass) -> Reply:
        if call.cached is not None:
            call.cached.bypass = why
        call.marks.append((CACHE, time.monotonic()))
        return await then(call)

    async def _beyond_words(self, call: Call, then: Handler, asked: Asked) -> Reply:
        if asked.directives.only_if_cached:
            reply = None if asked.directives.no_cache else await self._by_meaning(call, asked)
            if reply is None:
                raise RequestError("There is no kept answer to this request.", status=504, code=CACHE_MISS)
            return reply
        if asked.directives.no_cache:
            return await self._make(call, then, asked)
        return await self._share(call, then, asked)

    async def _share(self, call: Call, then: Handler, asked: Asked) -> Reply:
        """One call for all who ask alike now. Where its leader fails for reasons of its own, another leads."""
        flights, alike = self._tools.flights, asked.alike(call)
        for _ in range(TAKEOVERS_MAX):
            flight = flights.find(alike)
            if flight is None:
                return await flights.lead(alike, asked.exact, call, partial(self._mean_or_make, asked, then))
            reply = await self._follow(call, asked, flight)
            if reply is not None:
                return reply
        return await self._mean_or_make(asked, then, call)

    async def _follow(self, call: Call, asked: Asked, flight: Flight) -> Reply | None:
        """The leader's answer; None where the leader is gone and the call has yet to be made."""
        assert call.route is not None  # noqa: S101 - it has a cache
        try:
            joined = await flight.join(call, call.route.timeouts.total_s)
        except Exception as error:
            if flight.ended_by_itself(error, call) and not _is_over(call):
                return None
            if call.cached is not None:
                call.cached.joined = flight.call.id
            raise
        led = self._tools.served.by_request(flight.call.id)
        if _is_too_old(flight, asked) or not await self._may_follow(call, asked, led):
            joined.close()
            return None
        followed = Followed(joined, call, Level.EXACT if flight.is_of(asked.exact) else Level.NEAR)
        self._remember(call, asked, led)
        call.marks.append((CACHE, time.monotonic()))
        return Reply(followed, flight.recording.deployment)

    async def _may_follow(self, call: Call, asked: Asked, led: Serving | None) -> bool:
        """Whether the budget allows it: each who is served by meaning takes from it."""
        if led is None or led.verdict is None or led.where is None or asked.rules.semantic is None:
            self._lookup.passed(call, asked)
            return True
        return await self._lookup.repeated(led.where, led.verdict, asked.rules.semantic)

    async def _mean_or_make(self, asked: Asked, then: Handler, call: Call) -> Reply:
        reply = await self._by_meaning(call, asked)
        return await self._make(call, then, asked) if reply is None else reply

    async def _by_meaning(self, call: Call, asked: Asked) -> Reply | None:
        semantic, cached = asked.rules.semantic, call.cached
        if semantic is None or cached is None or not asked.is_semantic:
            return None
        began_s = time.perf_counter()
        found = await self._lookup.by_meaning(call, asked, semantic)
        if isinstance(found, Doubtful):
            found = await self._judged(call, asked, found, semantic)
        cached.lookup_s += time.perf_counter() - began_s
        if found is None or (reply := self._serve(call, asked, found)) is None:
            return None
        if found.verdict is not None and semantic.shadow is not None:
            where = self._lookup.where(call, asked, asked.embedder)
            hit = Hit(call, found.kept, where, found.verdict.log_odds, asked.view.question)
            self._tools.aside.shadow.consider(hit, semantic)
        return reply

    async def _judged(self, call: Call, asked: Asked, doubtful: Doubtful, semantic: SemanticRules) -> Found | None:
        says_same = False
        if semantic.judge is not None and not asked.directives.only_if_cached:
            stored = doubtful.kept.entry.question
            says_same = await self._tools.aside.judge.says_same(call, asked.view.question, stored, semantic.judge)
        return await self._lookup.judged(call, asked, doubtful, says_same=says_same)

    async def _make(self, call: Call, then: Handler, asked: Asked) -> Reply:
        """The call is made, and its answer kept."""
        tools, cached = self._tools, call.cached
        assert cached is not None  # noqa: S101 - made above
        now_s = tools.clock()
        cached.entry_id = f"ce_{int(now_s * 1000):011x}{tools.rng.getrandbits(64):016x}"
        self._remember(call, asked)
        call.marks.append((CACHE, time.monotonic()))
        reply = await then(call)
        keep = partial(tools.keeper.take, call, asked, now_s)
        reply.answer = captured(reply.answer, asked.rules.answer_bytes_max, keep)
        return reply

    def _serve(self, call: Call, asked: Asked, found: Found) -> Reply | None:
        reply = self._lookup.reply(call, asked, found)
        if reply is not None:
            call.marks.append((CACHE, time.monotonic()))
            verdict = found.verdict
            where = None if verdict is None else self._lookup.where(call, asked, asked.embedder)
            self._tools.served.add(call.id, Serving(found.kept.entry.id, asked.owner, where, verdict))
        return reply

    def _remember(self, call: Call, asked: Asked, like: Serving | None = None) -> None:
        if call.cached is not None:
            where, verdict = (None, None) if like is None else (like.where, like.verdict)
            self._tools.served.add(call.id, Serving(call.cached.entry_id, asked.owner, where, verdict))


def _is_too_old(flight: Flight, asked: Asked) -> bool:
    """Whether what the leader was served with is older than this caller takes."""
    led, age_max_s = flight.call.cached, asked.directives.age_max_s
    return age_max_s is not None and led is not None and led.level is not None and led.age_s > age_max_s


def _is_over(call: Call) -> bool:
    """Whether a call has no time left to be made."""
    return call.route is None or time.monotonic() >= call.received_s + call.route.timeouts.total_s
