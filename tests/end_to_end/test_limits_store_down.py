"""The shared store stands still under load: answers stay quick, limits hold, and nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.limited_ground import (
    Caller,
    ask,
    levels,
    limited,
    metered,
    metric,
    press,
    rows_of,
    settled,
    until,
    use_up,
)
from tests.gateway_process import gateway_process
from tests.redis_servers import own_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

LIMIT = 40
RATED = Caller("rated", limits={"requests": f"{LIMIT}/h"})
ROOMY = Caller("roomy", limits={"requests": "1M/h"})
BUDGET = Caller("budget", limits={"cost": "$5/month"})
ANSWER_S = 0.1
"""How long the gateway waits for the store, and does twice for each call as long as its breaker is closed."""


async def is_degraded(gateway: GatewayProcess, expected: bool, within_s: float = 20.0) -> None:  # noqa: FBT001 - a state
    async with asyncio.timeout(within_s):
        while True:
            if (await metric(gateway, "pointsman_limit_store_degraded") > 0) is expected:
                return
            await asyncio.sleep(0.05)


async def times_of(gateway: GatewayProcess, count: int) -> list[float]:
    """How long calls under a roomy limit take, sorted."""

    async def timed() -> float:
        began_s = time.monotonic()
        assert (await ask(gateway, ROOMY)).status == 200
        return time.monotonic() - began_s

    return sorted([await timed() for _ in range(count)])


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_store_that_stands_still_neither_stalls_calls_nor_frees_them_of_limits(
    workers: int, tmp_path: Path
) -> None:
    with own_server() as redis:
        async with metered() as meter:
            policy = limited(meter.url, RATED, ROOMY, BUDGET, server={"workers": workers})
            policy["state"] = {"url": redis.url, "timeout": f"{ANSWER_S * 1000:.0f}ms"}
            async with gateway_process(policy, tmp_path) as gateway:
                before = await press([gateway], RATED, callers=10, calls=1)
                assert before.statuses == {200: 10}
                usual = await times_of(gateway, 20)
                meter.held_back = asyncio.Event()
                caught = [asyncio.create_task(ask(gateway, RATED)) for _ in range(5)]  # under way as it happens
                await until(lambda: meter.opened[RATED.model] == 15)
                with redis.stopped():
                    meter.held_back.set()
                    assert [(await one).status for one in caught] == [200] * 5
                    # Each worker has a breaker: calls until all are open, and then the crowd.
                    await asyncio.gather(*(ask(gateway, ROOMY) for _ in range(32 * workers)))
                    await is_degraded(gateway, expected=True)
                    stopped = await times_of(gateway, 100)
                    during = await press([gateway], RATED, callers=64, calls=4)
                    spent = await press([gateway], BUDGET, callers=8, calls=2)
                await is_degraded(gateway, expected=False)
                seen = await settled(gateway)
                after = await press([gateway], RATED, callers=8, calls=1)
                budget_after = await ask(gateway, BUDGET)
                assert await gateway.stop() == 0
        # A call that waited for the store would take two of its timeouts longer.
        assert stopped[len(stopped) // 2] <= usual[len(usual) // 2] + ANSWER_S
        assert stopped[98] <= usual[-1] + 1.0
        # The fleet's part of the limit begins anew once, and only once however many processes there are.
        assert len(during.replies) >= 5 * LIMIT
        assert set(during.statuses) == {200, 429}
        assert 0.8 * LIMIT <= during.admitted <= LIMIT + 1
        # What only the store knows is not given out.
        assert spent.statuses == {503: 16}
        assert all("retry-after" in reply.headers for reply in spent.replies)
        assert spent.replies[0].error["code"] == "limits_unavailable"
        assert budget_after.status == 200
        # Everything that was used is known to the store again, and to the ledger.
        used = 10 + 5 + during.admitted
        assert meter.answered[RATED.model] == used
        assert used - 1 <= seen["rated requests"]["used"] <= used
        assert after.statuses == {429: 8}
        rows = rows_of(tmp_path)
        assert len(rows) == sum(meter.answered.values())
        tokens = sum(row["input_tokens"] + row["output_tokens"] for row in rows if row["key_name"] == RATED.name)
        assert tokens == meter.tokens[RATED.model]


async def test_a_store_that_comes_back_empty_begins_budgets_from_the_ledger(tmp_path: Path) -> None:
    caller = Caller("budget", limits=[{"cost": "0.0006 USD/month"}])
    with own_server() as redis:
        async with metered() as meter:
            policy = limited(meter.url, caller) | {"state": {"url": redis.url, "timeout": "2s"}}
            async with gateway_process(policy, tmp_path) as gateway:
                await press([gateway], caller, callers=8, calls=1)
                spent = (await settled(gateway))["budget cost"]["used"]
                assert spent == meter.nanousd[caller.model] > 0
                redis.ask("FLUSHALL")
                assert "budget cost" not in await levels(gateway)
                crowd = await press([gateway], caller, callers=32, calls=4)
                assert set(crowd.statuses) == {200, 429}
                await use_up(gateway, caller)
                assert 600_000 - caller.reserved_nanousd < meter.nanousd[caller.model] <= 600_000
                assert (await settled(gateway))["budget cost"]["used"] == meter.nanousd[caller.model]
