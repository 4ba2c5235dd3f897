"""Everything fails at full load: what the gateway sends upstream, logs, holds and uses, and how soon it is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.moody_upstream import Mood, MoodyUpstream
from tests.end_to_end.open_loop import NO_SHEDDING, Phase, asking, ramp, statuses
from tests.gateway_process import gateway_process
from tests.process_figures import cpu_s, resident_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.end_to_end.open_loop import Load
    from tests.gateway_process import GatewayProcess

log = logging.getLogger(__name__)

CREDITS_MAX = 100
WITHIN_S = 10.0
# A breaker that a thousand failures in a row, or a hundred thousand attempts, open: none, for these tests.
NEVER = {"failures": 1000, "failure_share": "100%", "of_at_least": 100_000}


@dataclass(frozen=True)
class Scale:
    """How much load, and how long each stretch of it is."""

    per_s: float
    well_s: float
    down_s: float
    again_s: float


SHORT = Scale(per_s=100, well_s=0.5, down_s=1.5, again_s=1.5)
LONG = Scale(per_s=250, well_s=2.0, down_s=8.0, again_s=12.0)


def policy(far: str, near: str, breaker: dict[str, Any], mood: Mood) -> dict[str, Any]:
    """`alone` has one deployment and three tries; `backed` a fallback besides."""
    quick = {"first_token": "300ms", "idle": "300ms", "total": "3s"}
    route = {"retry": {"attempts": 3}, "timeouts": quick if mood is Mood.STALLS else {}}
    price = {"input": 1, "output": 2}
    return {
        "server": NO_SHEDDING,
        "providers": {
            "far": {"kind": "openai", "base_url": far, "api_key": "none", "breaker": breaker, "max_connections": 4000},
            "near": {"kind": "openai", "base_url": near, "api_key": "none"},
        },
        "deployments": {
            **{name: {"provider": "far", "model": name, "price": price} for name in ("alone", "backed")},
            "spare": {"provider": "near", "model": "spare", "price": price},
        },
        "routes": [
            {"model": "alone", "targets": ["alone"], **route},
            {"model": "backed", "targets": ["backed"], "fallbacks": ["spare"], **route},
        ],
    }


@dataclass
class Outage:
    """What was seen of one: the load with everything that came of it, and the process's figures."""

    scale: Scale
    load: Load
    sent: Counter[str]
    cpu_well_s: float
    cpu_down_s: float
    grown_bytes: int
    answered_operators: int
    slowest_operator_s: float

    def part(self, name: str) -> list[Any]:
        scale = self.scale
        begins = {"well": 0.0, "down": scale.well_s, "again": scale.well_s + scale.down_s}
        ends = {"well": scale.well_s - 0.3, "down": begins["again"], "again": begins["again"] + scale.again_s}
        return self.load.between(begins[name], ends[name])


async def outage(gateway: GatewayProcess, far: MoodyUpstream, mood: Mood, model: str, scale: Scale) -> Outage:
    """Well, down, and well again under the same load of streams and whole answers, half of each."""
    asks = [asking(model), asking(model, stream=True)]
    over = asyncio.Event()
    operators = asyncio.ensure_future(_operators(gateway, over))
    sent: Counter[str] = Counter()
    used, held = [cpu_s(gateway)], []

    async def turns() -> None:
        await asyncio.sleep(scale.well_s)
        used.append(cpu_s(gateway))
        far.mood = mood
        before = far.arrived.copy()
        await asyncio.sleep(scale.down_s / 2)
        held.append(resident_bytes(gateway))
        await asyncio.sleep(scale.down_s / 2)
        far.mood = Mood.WELL
        used.append(cpu_s(gateway))
        held.append(resident_bytes(gateway))
        sent.update(far.arrived - before)

    turning = asyncio.ensure_future(turns())
    seconds = scale.well_s + scale.down_s + scale.again_s
    load = await ramp(gateway.port, [Phase(scale.per_s, seconds)], lambda number: asks[number % 2])
    await turning
    over.set()
    answered, slowest_s = await operators
    well, down = (later - earlier for earlier, later in pairwise(used))
    return Outage(scale, load, sent, well, down, held[1] - held[0], answered, slowest_s)


async def _operators(gateway: GatewayProcess, over: asyncio.Event) -> tuple[int, float]:
    """Ask the operators' listener all the while; how often it answered well, and the longest that took."""
    answered, slowest_s = 0, 0.0
    while not over.is_set():
        for path in ("/health/live", "/metrics", "/deployments"):
            began_s = time.monotonic()
            status, _ = await gateway.admin(path)
            assert status == 200, path
            answered, slowest_s = answered + 1, max(slowest_s, time.monotonic() - began_s)
        await asyncio.sleep(0.1)
    return answered, slowest_s


@pytest.fixture
async def far() -> AsyncIterator[MoodyUpstream]:
    async with MoodyUpstream(takes_s=0.005) as far:
        yield far


@pytest.fixture
async def near() -> AsyncIterator[MoodyUpstream]:
    async with MoodyUpstream(takes_s=0.005) as near:
        yield near


def scales(short: Mood | None, *long: Mood) -> Sequence[Any]:
    """A short outage of one kind in every run of the tests, long ones among the slow ones."""
    return [
        *([] if short is None else [pytest.param(short, SHORT, id=f"{short.name.lower()}-short")]),
        *(pytest.param(mood, LONG, id=f"{mood.name.lower()}-long", marks=pytest.mark.slow) for mood in long),
    ]


@pytest.mark.parametrize(("mood", "scale"), scales(Mood.REFUSES, Mood.REFUSES, Mood.RESETS, Mood.STALLS))
async def test_without_breakers_the_budget_bounds_what_is_sent(
    far: MoodyUpstream, near: MoodyUpstream, tmp_path: Path, mood: Mood, scale: Scale
) -> None:
    async with gateway_process(policy(far.url, near.url, NEVER, mood), tmp_path) as gateway:
        seen = await outage(gateway, far, mood, "alone", scale)
        assert await gateway.stop() == 0
    down = seen.part("down")
    calls = len(down)
    bound = 1.2 * calls + 10 * scale.down_s + CREDITS_MAX
    log.info("%s: %d attempts for %d calls, at most %d", mood.name, seen.sent["alone"], calls, bound)
    assert seen.sent["alone"] <= bound
    _survived(seen)
    _wrote_little(gateway, seen)
    _every_attempt_has_its_row(gateway, far)


@pytest.mark.parametrize(("mood", "scale"), scales(Mood.RESETS, Mood.REFUSES, Mood.STALLS))
async def test_with_breakers_hardly_anything_is_sent_and_no_caller_notices(
    far: MoodyUpstream, near: MoodyUpstream, tmp_path: Path, mood: Mood, scale: Scale
) -> None:
    cooldown_s, longest_s = (0.4, 0.8) if scale is SHORT else (5.0, 10.0)
    breaker = {"cooldown": f"{cooldown_s * 1000:.0f}ms", "max_cooldown": f"{longest_s * 1000:.0f}ms"}
    async with gateway_process(policy(far.url, near.url, breaker, mood), tmp_path) as gateway:
        seen = await outage(gateway, far, mood, "backed", scale)
        assert await gateway.stop() == 0
    calls = len(seen.part("down"))
    log.info("%s: %d attempts for %d calls", mood.name, seen.sent["backed"], calls)
    # Those who came before the first ones had failed, and one probe at the end of each cooldown.
    assert seen.sent["backed"] <= scale.per_s * 0.4 + 10 + scale.down_s / cooldown_s
    again = [call for call in seen.part("again") if call.header("x-pointsman-deployment") == "backed"]
    assert again, "it was not asked again"
    assert again[0].due_s - scale.well_s - scale.down_s < longest_s + 1.0
    lost = [call for call in seen.load.calls if call.status != 200]
    # Nobody can know that a whole answer is late but by the call's own time, and that leaves none to go elsewhere in.
    assert {call.status for call in lost} <= ({504} if mood is Mood.STALLS else set())
    assert not [call for call in lost if call.number % 2], "streams were lost"
    assert len(lost) < 0.05 * len(seen.load.calls)
    _survived(seen)
    _wrote_little(gateway, seen)
    _every_attempt_has_its_row(gateway, far, near)


@pytest.mark.parametrize(("mood", "scale"), scales(None, Mood.STALLS))
async def test_the_only_deployment_is_tried_once_for_each_call_while_it_is_down(
    far: MoodyUpstream, near: MoodyUpstream, tmp_path: Path, mood: Mood, scale: Scale
) -> None:
    async with gateway_process(policy(far.url, near.url, {}, mood), tmp_path) as gateway:
        seen = await outage(gateway, far, mood, "alone", scale)
        assert await gateway.stop() == 0
    calls = len(seen.part("down"))
    log.info("%s: %d attempts for %d calls", mood.name, seen.sent["alone"], calls)
    assert seen.sent["alone"] <= calls + 0.2 * calls + 10 * scale.down_s
    _survived(seen)
    _wrote_little(gateway, seen)
    _every_attempt_has_its_row(gateway, far)


def _survived(seen: Outage) -> None:
    """Every call has an answer that says what it is, and within ten seconds of the end all is as it was."""
    assert 0 not in statuses(seen.load.calls), statuses(seen.load.calls)
    assert {call.status for call in seen.part("well")} == {200}
    healed_s = seen.scale.well_s + seen.scale.down_s
    back_s = next(
        (at - healed_s for at in _quarters(seen) if seen.load.goodput(at, at + 0.5) >= 0.8 * seen.scale.per_s), None
    )
    cpu = seen.cpu_down_s / seen.scale.down_s / (seen.cpu_well_s / seen.scale.well_s)
    log.info("well again after %s s, CPU %.2f times, %d KiB more", back_s, cpu, seen.grown_bytes >> 10)
    log.info("operators: %d answers, the slowest %.2f s", seen.answered_operators, seen.slowest_operator_s)
    assert back_s is not None
    assert back_s < WITHIN_S
    last = seen.load.between(healed_s + seen.scale.again_s - 1.0, healed_s + seen.scale.again_s)
    assert statuses(last)[200] >= 0.8 * len(last)
    assert cpu < 8.0, "an outage costs what its attempts cost"
    assert seen.grown_bytes < 48 << 20
    assert seen.answered_operators > 5
    assert seen.slowest_operator_s < 5.0


def _quarters(seen: Outage) -> list[float]:
    healed_s = seen.scale.well_s + seen.scale.down_s
    return [healed_s + 0.25 * number for number in range(int(4 * (seen.scale.again_s - 0.5)))]


def _wrote_little(gateway: GatewayProcess, seen: Outage) -> None:
    """One line for each call, and a few about what turned: never one for each failure."""
    about = Counter(str(line.get("event")) for line in gateway.lines)
    assert about["request.completed"] == len(seen.load.calls)
    others = [line for line in gateway.lines if line.get("event") != "request.completed"]
    assert len(others) < 20, others[:20]
    assert not [line for line in others if line["level"] == "error"], others
    assert "Traceback" not in "".join(gateway.text)
    assert max(map(len, gateway.text)) < 4_000


def _every_attempt_has_its_row(gateway: GatewayProcess, *upstreams: MoodyUpstream) -> None:
    """What was sent again because its connection had been closed meanwhile is one attempt still."""
    rows = Counter(row["deployment"] for row in gateway.ledger())
    heard: Counter[str] = Counter()
    for upstream in upstreams:
        heard += upstream.arrived - upstream.stale
    assert rows == heard
