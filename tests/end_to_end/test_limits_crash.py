"""One of two gateways is killed while it holds everything: the other gets the room back, and the books agree."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import TYPE_CHECKING, Any

from tests.end_to_end.limited_ground import Caller, ask, levels, limited, metered, rows_of, settled, until
from tests.gateway_process import gateway_process
from tests.redis_servers import own_server

if TYPE_CHECKING:
    from pathlib import Path

LEASE_S = 3.0
HELD = 8
LIMITS = [{"concurrent": HELD}, {"tokens": "100k/day"}, {"cost": "$1/month"}, {"requests": "1000/h"}]
CALLER = Caller("callers", limits=LIMITS)


async def test_what_a_killed_gateway_held_is_there_again_within_the_lease(tmp_path: Path) -> None:
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    dead.mkdir()
    alive.mkdir()
    with own_server() as redis:
        async with metered() as meter:
            policy = limited(meter.url, CALLER)
            policy["state"] = {"url": redis.url, "timeout": "2s", "lease": f"{LEASE_S:.0f}s"}
            async with gateway_process(policy, alive) as other:
                async with gateway_process(policy, dead) as victim:
                    meter.held_back = asyncio.Event()
                    calls = [asyncio.create_task(ask(victim, CALLER)) for _ in range(HELD)]
                    await until(lambda: meter.under_way[CALLER.model] == HELD)
                    await asyncio.sleep(
                        LEASE_S * 1.2
                    )  # held beyond a lease: it is renewed as long as somebody is there
                    held = await levels(other)
                    assert held["callers concurrent"]["held"] == HELD
                    assert (await ask(other, CALLER)).status == 429
                    await victim.stop(signal.SIGKILL)
                killed_s = time.monotonic()
                await asyncio.gather(*calls, return_exceptions=True)
                meter.held_back.set()
                assert (await ask(other, CALLER)).status == 429, "the holds went before their lease was over"
                async with asyncio.timeout(LEASE_S + 10.0):
                    while True:
                        if (reply := await ask(other, CALLER)).status != 429:
                            break
                        await asyncio.sleep(0.05)
                assert reply.status == 200
                assert time.monotonic() - killed_s <= LEASE_S + 3.0
                seen = await settled(other)
                # Nobody knows what the dead one's calls came to: they stand at what they had reserved.
                reserved = held["callers cost"]["held"]
                assert reserved > 0
                last = meter.nanousd[CALLER.model] // meter.answered[CALLER.model]
                assert seen["callers cost"]["used"] == reserved + last
                assert seen["callers tokens"]["used"] >= held["callers tokens"]["held"]
                assert seen["callers requests"]["used"] <= HELD + 1
                async with gateway_process(policy, dead) as again:  # brings the journal of the dead one into the ledger
                    assert await again.stop() == 0
                assert (await levels(other))["callers cost"]["used"] == seen["callers cost"]["used"]
                assert await other.stop() == 0
    rows = rows_of(dead, alive)
    assert [row["outcome"] for row in rows] == ["unknown"] * HELD + ["ok"]
    assert all(row["estimated"] for row in rows[:HELD])
    assert charged(rows) == seen["callers cost"]["used"]
    assert abs(charged(rows) - sum(row["cost_nanousd"] for row in rows)) <= 2 * HELD  # reserving rounds up


def charged(rows: list[dict[str, Any]]) -> int:
    """What the ledger says of the budget."""
    charges = [charge for row in rows for charge in json.loads(row["charges"])]
    return sum(amount for account, _, amount in charges if account.endswith("cost.month:callers"))
