"""Health probes over real sockets, on a clock that the test turns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from gateway.health import JITTER, HealthProbes
from gateway.state.fleet import Fleet
from policies.route_rules import HealthRules
from policies.vocabulary import Failure, FailureKind
from tests.gateway.http_provider import DEPLOYMENT, KEY, provider_at
from tests.scripted_upstream import ScriptedUpstream, answer, request, reset, serve, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.http_upstream import HttpUpstream
    from policies.vocabulary import Deployment

RULES = HealthRules(interval_s=10.0, timeout_s=0.2, path="/models")
PROBED = replace(DEPLOYMENT, health=RULES)
DOWN = Failure(FailureKind.CONNECT)


class Ticks:
    """Stands for sleep: each `pass_one` lets every task that waits go on once, and waits until all wait again."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []
        self._waiting: list[asyncio.Event] = []
        self._asleep = asyncio.Condition()

    async def __call__(self, seconds: float) -> None:
        self.asked_s.append(seconds)
        turn = asyncio.Event()
        self._waiting.append(turn)
        async with self._asleep:
            self._asleep.notify_all()
        await turn.wait()

    async def until_asleep(self, tasks: int) -> None:
        async with asyncio.timeout(5), self._asleep:
            await self._asleep.wait_for(lambda: len(self._waiting) >= tasks)

    async def pass_one(self) -> None:
        await self.until_asleep(1)
        woken, self._waiting = self._waiting, []
        for turn in woken:
            turn.set()
        await self.until_asleep(len(woken))


class Rig:
    """One probed deployment, whose provider does what a test says."""

    def __init__(self, far: ScriptedUpstream) -> None:
        self.far = far
        self.fleet = Fleet(lambda: 100.0)
        self.ticks = Ticks()
        self.probes = HealthProbes(self.fleet, Random(1), self.ticks)
        self.upstream: HttpUpstream = provider_at(far)

    def watch(self, *deployments: Deployment) -> None:
        generation = SimpleNamespace(
            deployments={d.id: d for d in deployments}, upstreams={d.id: self.upstream for d in deployments}
        )
        self.probes.watch(cast("Any", generation))

    def break_it(self, deployment: Deployment = PROBED) -> None:
        for _ in range(5):
            lease = self.fleet.lease(deployment)
            lease.fail(DOWN)
            lease.release()


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    async with ScriptedUpstream() as far:
        made = Rig(far)
        try:
            yield made
        finally:
            await made.probes.close()
            await made.upstream.close()


async def test_what_is_well_is_left_alone_and_what_is_set_aside_is_asked_and_let_back() -> None:
    async with rig() as on:
        on.far.otherwise(serve(answer(b'{"data": []}')))
        on.watch(PROBED)
        await on.ticks.pass_one()
        assert on.far.requests == []
        on.break_it()
        assert on.fleet.set_aside((PROBED,))
        await on.ticks.pass_one()
        (asked,) = on.far.requests
        assert (asked.method, asked.path, asked.headers["authorization"]) == ("GET", "/v1/models", f"Bearer {KEY}")
        assert not on.fleet.set_aside((PROBED,)), "the next call may try"
        state = on.fleet.state_of(PROBED)
        assert (state.probes, state.probes_failed, state.attempts) == (1, 0, 5)
        assert all(abs(pause_s - 10.0) <= 10.0 * JITTER for pause_s in on.ticks.asked_s)


async def test_no_sign_of_life_leaves_it_set_aside() -> None:
    async with rig() as on:
        on.far.then(request(), reset())
        on.far.then(request(), stall())
        on.far.otherwise(serve(answer(b"no", status=503)))
        on.watch(PROBED)
        on.break_it()
        for _ in range(3):
            await on.ticks.pass_one()
        assert on.fleet.set_aside((PROBED,))
        assert (on.fleet.state_of(PROBED).probes, on.fleet.state_of(PROBED).probes_failed) == (3, 3)


async def test_where_the_policy_says_always_failures_are_found_before_a_call_meets_them() -> None:
    async with rig() as on:
        eager = replace(PROBED, health=replace(RULES, always=True))
        on.far.otherwise(serve(answer(b"no", status=500)))
        on.watch(eager)
        for _ in range(5):
            await on.ticks.pass_one()
        assert on.fleet.set_aside((eager,))
        assert len(on.far.requests) == 5


async def test_a_slow_probe_is_the_only_one() -> None:
    async with rig() as on:
        asked = asyncio.Event()
        slow = replace(PROBED, health=replace(RULES, timeout_s=5.0, always=True))

        async def note(_: object) -> None:
            asked.set()

        on.far.otherwise(request(), note, stall())
        on.watch(slow)
        await on.ticks.until_asleep(1)
        woken = asyncio.ensure_future(on.ticks.pass_one())
        await asyncio.wait_for(asked.wait(), 2)
        on.watch(slow)
        assert len(on.far.requests) == 1
        assert len(on.ticks.asked_s) == 1, "nobody sleeps towards a second one"
        await on.probes.close()
        woken.cancel()
        await asyncio.gather(woken, return_exceptions=True)


async def test_a_reload_probes_what_the_new_policy_wants_only() -> None:
    async with rig() as on:
        other = replace(PROBED, name="other")
        on.watch(PROBED, other, replace(PROBED, name="unasked", health=None))
        assert on.probes.watched == {PROBED.id, other.id}
        on.watch(replace(PROBED, health=None), other)
        assert on.probes.watched == {other.id}
        await on.probes.close()
        assert on.probes.watched == frozenset()


async def test_what_cannot_be_asked_is_not() -> None:
    async with rig() as on:
        engine = SimpleNamespace(ready=True)
        generation = SimpleNamespace(deployments={PROBED.id: PROBED}, upstreams={PROBED.id: engine})
        on.probes.watch(cast("Any", generation))
        assert on.probes.watched == frozenset()
