"""Three times as many calls as can be served, and then fewer again: who is served, who is told to wait, and what stays.

Bounds are wide: they are about a gateway that is stuck, which a busy machine must not look like.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.moody_upstream import MoodyUpstream
from tests.end_to_end.open_loop import Phase, asking, ramp, statuses
from tests.gateway_process import gateway_process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.end_to_end.open_loop import Asked, Load
    from tests.gateway_process import GatewayProcess

log = logging.getLogger(__name__)

KEYS = {name: f"sk-{name}-priority-for-tests-0123456789" for name in ("high", "normal", "low")}
MIX = ("low", "normal", "low", "high", "low", "normal", "low", "low", "normal", "low")
TIMES = 3.0
BASE = 0.4
RECOVERED = 0.8
WITHIN_S = 10.0
PIECES = 300
TAKES_S = 0.01
AT_ONCE = 8


@dataclass(frozen=True)
class Scale:
    before_s: float
    over_s: float
    after_s: float


SHORT = Scale(0.8, 1.5, 2.5)
LONG = Scale(3.0, 10.0, 14.0)
SCALES = [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.slow)]


def policy(url: str, deployment: dict[str, Any] | None = None, **route: Any) -> dict[str, Any]:
    return {
        "providers": {"far": {"kind": "openai", "base_url": url, "api_key": "none"}},
        "deployments": {"a": {"provider": "far", "model": "a", **(deployment or {})}},
        "routes": [{"model": "m", "targets": ["a"], **route}],
        "keys": [{"name": name, "secret": key, "priority": name} for name, key in KEYS.items()],
    }


def asks(*, stream: bool) -> list[bytes]:
    return [asking("m", key=KEYS[name], stream=stream) for name in MIX]


async def peak(port: int, data: bytes, for_s: float = 1.0, callers: int = 32) -> float:
    """Calls a second that so many callers get answered who each wait for their answer."""
    until_s = time.monotonic() + for_s
    count = 0

    async def one() -> None:
        nonlocal count
        while time.monotonic() < until_s:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.monotonic() < until_s:
                writer.write(data)
                await reader.readuntil(b"0\r\n\r\n")
                count += 1
            writer.close()

    await asyncio.gather(*(one() for _ in range(callers)))
    return count / for_s


async def up_and_down(gateway: GatewayProcess, per_s: float, scale: Scale, *, stream: bool) -> Load:
    """At a part of what can be served, at three times that, and at the same part again."""
    cycle = asks(stream=stream)
    phases = [
        Phase(BASE * per_s, scale.before_s),
        Phase(TIMES * per_s, scale.over_s),
        Phase(BASE * per_s, scale.after_s),
    ]
    return await ramp(gateway.port, phases, lambda number: cycle[number % len(cycle)])


def _by_priority(calls: Sequence[Asked]) -> dict[str, float]:
    """The part of each priority's calls that was served."""
    found = {}
    for name in KEYS:
        those = [call for call in calls if MIX[call.number % len(MIX)] == name]
        found[name] = sum(call.is_good for call in those) / max(1, len(those))
    return found


def _check(load: Load, scale: Scale, per_s: float) -> dict[str, float]:
    """Everybody has an answer, what is refused says when to come again, and the old level is back in time."""
    over_s, back_s = scale.before_s, scale.before_s + scale.over_s
    over = load.between(over_s, back_s)
    good = load.goodput(over_s, back_s)
    served = _by_priority(over)
    waits = sorted(call.took_s for call in over if call.status != 200)
    log.info("%d/s at best; %.0f%% of that at %g times as many", per_s, 100 * good / per_s, TIMES)
    log.info("refused in %.3f s (median), served: %s", waits[len(waits) // 2], served)
    found = statuses(load.calls)
    assert found.keys() <= {200, 429, 503}, found
    for call in over:
        assert call.status == 200 or int(call.header("retry-after") or 0) >= 1, call
    before = load.goodput(0.0, over_s)
    assert before >= 0.9 * BASE * per_s, "all was well before"
    ends = back_s + scale.after_s
    back_after_s = next(
        (at - back_s for at in _steps(back_s, ends) if load.goodput(at, at + 1.0) >= RECOVERED * before), None
    )
    log.info("as before after %s s", back_after_s)
    assert back_after_s is not None
    assert back_after_s <= WITHIN_S
    assert load.goodput(ends - 1.0, ends) >= RECOVERED * before, "and it stays"
    return served


def _steps(from_s: float, to_s: float) -> list[float]:
    return [from_s + 0.25 * number for number in range(int((to_s - 1.0 - from_s) / 0.25) + 1)]


@pytest.mark.parametrize("scale", SCALES)
async def test_a_gateway_with_more_to_do_than_it_can_serves_what_it_can(tmp_path: Path, scale: Scale) -> None:
    """Its own CPU is what is short: each answer is a stream of many events."""
    async with (
        MoodyUpstream(takes_s=TAKES_S, pieces=PIECES) as far,
        gateway_process(policy(far.url), tmp_path) as gateway,
    ):
        per_s = await peak(gateway.port, asking("m", key=KEYS["normal"], stream=True))
        load = await up_and_down(gateway, per_s, scale, stream=True)
        assert await gateway.stop() == 0
    served = _check(load, scale, per_s)
    assert served["high"] >= served["low"] + 0.1, "who has priority is served first"
    told = [line for line in gateway.lines if line.get("event") == "gateway.shedding"]
    assert 2 <= len(told) <= 20, "when it begins and ends, not for each call"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["pool", "deployment"])
async def test_a_deployment_that_is_full_is_kept_at_what_it_can(tmp_path: Path, where: str) -> None:
    """The provider serves so many at once and lets the others wait; a pool or a limit of that size keeps them out."""
    async with MoodyUpstream(takes_s=0.05, servers=AT_ONCE) as far:
        made = policy(far.url, retry={"attempts": 2})
        if where == "pool":
            made["providers"]["far"]["max_connections"] = AT_ONCE
        else:
            made["deployments"]["a"]["limits"] = {"concurrent": AT_ONCE}
        async with gateway_process(made, tmp_path) as gateway:
            per_s = AT_ONCE / 0.05
            load = await up_and_down(gateway, per_s, LONG, stream=False)
            assert len(far.waiting) <= AT_ONCE
            assert await gateway.stop() == 0
    _check(load, LONG, per_s)
