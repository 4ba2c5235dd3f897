"""64 callers at once against each kind of limit: never more than the bound, nearly all of it, and refusals are free.

The same crowd presses one process, two gateways that share a Redis, and one gateway of two workers.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.limited_ground import (
    PROMPT_TOKENS,
    Caller,
    Meter,
    accounts,
    levels,
    limited,
    metered,
    press,
    rows_of,
    settled,
    use_up,
)
from tests.gateway_process import gateway_process
from tests.redis_servers import own_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess
    from tests.redis_servers import RedisServer

CALLERS = 64
SLACK = 1.0 / 3600  # what comes back of an hourly limit in a second, as a part of it
TOKENS = Caller("tokens", limits={"tokens": "1000/h"})
OUTPUT = Caller("output", limits={"output_tokens": "800/h"})
REQUESTS = Caller("requests", limits={"requests": "50/h"})
BUDGET = Caller("budget", limits={"cost": "0.0006 USD/month"})
AT_ONCE = Caller("at-once", limits={"concurrent": 8})
BUDGET_NANOUSD = 600_000
CALL_TOKENS = PROMPT_TOKENS + TOKENS.max_tokens
CALL_NANOUSD = PROMPT_TOKENS * 150 + BUDGET.max_tokens * 600
PLACES = ["one process", "two gateways", "two workers"]


@dataclass
class Place:
    """Gateways that share their limits, and what is behind them."""

    gateways: list[GatewayProcess]
    meter: Meter
    redis: RedisServer | None
    folders: list[Path]

    async def stop(self) -> list[dict[str, Any]]:
        """The rows of all ledgers at the end."""
        for gateway in self.gateways:
            assert await gateway.stop() == 0
        return rows_of(*self.folders)


@asynccontextmanager
async def place(kind: str, folder: Path, *callers: Caller, **policy: Any) -> AsyncIterator[Place]:
    count = 2 if kind == "two gateways" else 1
    async with AsyncExitStack() as stack:
        meter = await stack.enter_async_context(metered())
        found = limited(meter.url, *callers, **policy)
        redis = None
        if kind != "one process":
            redis = stack.enter_context(own_server())
            found["state"] = {"url": redis.url, "timeout": "10s"}  # a busy machine is no outage
        # Five crowds at once are more than one core may serve in time, and here each must hear from its limit.
        found["server"] = {"shed": {"max_delay": "10m"}} | ({"workers": 2} if kind == "two workers" else {})
        folders = [folder / str(number) for number in range(count)]
        for each in folders:
            each.mkdir()
        starting = [stack.enter_async_context(gateway_process(found, each)) for each in folders]
        gateways = [await one for one in starting]
        yield Place(gateways, meter, redis, folders)


@pytest.mark.parametrize("kind", PLACES)
async def test_a_crowd_gets_all_of_a_limit_and_no_more(kind: str, tmp_path: Path) -> None:
    crowds = (TOKENS, OUTPUT, REQUESTS, BUDGET, AT_ONCE)
    async with place(kind, tmp_path, *crowds) as at:
        began_s = time.monotonic()
        tokens, output, requests, budget, at_once = await asyncio.gather(
            *(press(at.gateways, caller, callers=CALLERS, calls=2 if caller is AT_ONCE else 4) for caller in crowds)
        )
        for crowd in (tokens, output, requests, budget, at_once):
            assert set(crowd.statuses) == {200, 429}
        # What a crowd holds for a moment makes it refuse itself. What is left after it is what nobody could get.
        for caller in (TOKENS, OUTPUT, REQUESTS, BUDGET):
            await use_up(at.gateways[0], caller)
        seen = await settled(at.gateways[0])
        meter = at.meter
        rows = await at.stop()
    # Enough was asked for that a limit which leaks would have leaked.
    assert len(tokens.replies) * CALL_TOKENS >= 5 * 1000
    assert len(output.replies) * OUTPUT.max_tokens >= 5 * 800
    assert len(requests.replies) >= 5 * 50
    assert len(budget.replies) * CALL_NANOUSD >= 5 * BUDGET_NANOUSD
    # By the upstream's count, which is what is paid.
    within(meter.tokens[TOKENS.model], 1000, TOKENS.reserved_tokens, began_s)
    within(meter.tokens[OUTPUT.model] - PROMPT_TOKENS * meter.answered[OUTPUT.model], 800, OUTPUT.max_tokens, began_s)
    within(meter.opened[REQUESTS.model], 50, 1, began_s)
    assert BUDGET_NANOUSD - BUDGET.reserved_nanousd < meter.nanousd[BUDGET.model] <= BUDGET_NANOUSD
    assert meter.most_at_once[AT_ONCE.model] == 8
    # By the ledger's, and by the limits' own.
    assert sum_of(rows, TOKENS, "input_tokens") + sum_of(rows, TOKENS, "output_tokens") == meter.tokens[TOKENS.model]
    assert sum_of(rows, BUDGET, "cost_nanousd") == meter.nanousd[BUDGET.model] == seen["budget cost"]["used"]
    assert len([row for row in rows if row["key_name"] == REQUESTS.name]) == meter.opened[REQUESTS.model]
    assert len(rows) == sum(meter.answered.values()), "a refused call has left a row"
    came_back = 1000 * SLACK * (time.monotonic() - began_s) + 1
    assert meter.tokens[TOKENS.model] - came_back <= seen["tokens tokens"]["used"] <= meter.tokens[TOKENS.model]


def within(used: int, limit: int, one_call: int, began_s: float) -> None:
    """An hourly limit to the last call that fits, and at most what it holds and what has come back by now."""
    assert used <= limit * (1 + SLACK * (time.monotonic() - began_s)), f"{used} of {limit}: overshot"
    assert used > limit - one_call, f"{used} of {limit}: calls were refused that would have fitted"


def sum_of(rows: list[dict[str, Any]], caller: Caller, column: str) -> int:
    return sum(row[column] for row in rows if row["key_name"] == caller.name)


@pytest.mark.parametrize("kind", ["one process", "two gateways"])
async def test_a_refused_call_changes_no_counter(kind: str, tmp_path: Path) -> None:
    """Five limits apply and one is used up: the other four must not pay for the calls that it stops."""
    everything = [{"requests": "5/h"}, {"tokens": "1M/day"}, {"output_tokens": "1M/h"}, {"cost": "$5/month"}]
    caller = Caller("stopped", limits=[*everything, {"concurrent": 64}])
    async with place(kind, tmp_path, caller) as at:
        first = await press(at.gateways, caller, callers=5, calls=1)
        assert first.statuses == {200: 5}
        before = await settled(at.gateways[0])
        kept = accounts(at.redis) if at.redis is not None else {}
        refused = await press(at.gateways, caller, callers=CALLERS, calls=2)
        assert refused.statuses == {429: 2 * CALLERS}
        after = await levels(at.gateways[0])
        for name, level in after.items():
            drained = level["amount"] * SLACK * 60 + 1 if isinstance(level["window"], float) else 0
            assert level["held"] == before[name]["held"] == 0
            assert before[name]["used"] - drained <= level["used"] <= before[name]["used"]
        assert len(after) == 5
        assert at.meter.opened[caller.model] == 5
        if at.redis is not None:
            now = accounts(at.redis)
            assert {name: now.get(name) for name in kept} == kept
            assert set(now) == set(kept), "a refused call is remembered"
        assert len(await at.stop()) == 5


@pytest.mark.parametrize("for_s", [3.0, pytest.param(20.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["one process", "two gateways"])
async def test_what_comes_back_while_the_crowd_presses_is_given_out_once(
    kind: str, for_s: float, tmp_path: Path
) -> None:
    """A window shorter than the run: capacity and refill over the whole interval bound what is used of it."""
    caller = Caller("steady", max_tokens=40, limits={"tokens": "1000/2s"})
    async with place(kind, tmp_path, caller) as at:
        crowd = await press(at.gateways, caller, callers=CALLERS, calls=2, until_s=for_s)
        bound = 1000 + 500 * crowd.lasted_s
        assert len(crowd.replies) * (PROMPT_TOKENS + caller.max_tokens) >= 5 * bound
        assert 0.8 * (1000 + 500 * for_s) <= at.meter.tokens[caller.model] <= bound
