"""A pool that is full: who waits is told in a second, who left gives up the turn, and no other deployment notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import SPARE_TEXT, good, proving_ground
from tests.scripted_upstream import forever, request, stall, waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.lanes import Lane
    from tests.end_to_end.proving_ground import Caller, Ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECTIONS = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    settings = {"max_connections": CONNECTIONS}
    async with proving_ground(tmp_path_factory.mktemp("busy"), lanes=10, far_settings=settings) as ground:
        yield ground


async def filled(ground: Ground, lane: Lane) -> list[Caller]:
    """Callers that hold every connection of this lane."""
    before = len(ground.far.requests)
    callers = [await ground.open(lane.alone, stream=bool(number % 2)) for number in range(CONNECTIONS)]
    async with asyncio.timeout(5):
        while len(ground.far.requests) < before + CONNECTIONS:  # noqa: ASYNC110 - three connections' events
            await asyncio.sleep(0.005)
    return callers


async def test_a_full_pool_is_said_in_a_second_and_touches_nobody_else(ground: Ground) -> None:
    lane, other = ground.lane(stall()), ground.lane(forever(good(), request()))
    callers = await filled(ground, lane)
    refused, moved, elsewhere = await asyncio.gather(
        ground.ask(lane.alone), ground.ask(lane.backed, stream=True), ground.ask(other.alone, stream=True)
    )
    assert (refused.status, refused.error["code"]) == (503, "upstream_busy")
    assert (moved.text, moved.attempts) == (SPARE_TEXT, 2)
    assert (elsewhere.status, elsewhere.text) == (200, "hello")
    for caller in callers:
        caller.leave()
    (row,) = await ground.settled(refused)
    assert (row["outcome"], row["estimated"], row["cost_nanousd"]) == ("pool", 0, None)
    assert 980 <= row["duration_ms"] <= 2000
    assert [row["outcome"] for row in await ground.settled(moved)] == ["pool", "ok"]
    (row,) = await ground.settled(elsewhere)
    assert row["duration_ms"] < 500


async def test_a_full_pool_says_nothing_of_its_deployment(ground: Ground) -> None:
    """The limit is the gateway's own; a breaker that opened over it would make trouble out of load."""
    lane = ground.lane(stall())
    callers = await filled(ground, lane)
    replies = await asyncio.gather(*[ground.ask(lane.alone) for _ in range(8)])
    assert {reply.status for reply in replies} == {503}
    assert (await ground.deployments())[lane.name]["breaker"] == "closed"
    for caller in callers:
        caller.leave()
    await ground.quiet()


async def test_who_waits_gets_the_connection_that_comes_free(ground: Ground) -> None:
    goes_on = asyncio.Event()
    lane = ground.lane(waits(goes_on), good("one"), request(), good("two"))
    callers = await filled(ground, lane)
    waiting = asyncio.ensure_future(ground.ask(lane.alone, stream=True))
    async with asyncio.timeout(5):
        while (await ground.in_flight())[lane.name] < CONNECTIONS + 1:  # noqa: ASYNC110 - another process's count
            await asyncio.sleep(0.005)
    goes_on.set()
    reply = await waiting
    assert (reply.status, reply.text) == (200, "two")
    for caller in callers:
        assert (await caller.rest()).text == "one"
    await ground.settled(reply)


async def test_who_left_while_waiting_owes_nothing_and_frees_the_turn(ground: Ground) -> None:
    lane = ground.lane(stall())
    callers = await filled(ground, lane)
    waiting = await ground.open(lane.alone)
    async with asyncio.timeout(5):
        while (await ground.in_flight())[lane.name] < CONNECTIONS + 1:  # noqa: ASYNC110 - another process's count
            await asyncio.sleep(0.005)
    waiting.leave()
    row = (await ground.rows_at(lane, 1))[0]
    assert (row["outcome"], row["cancelled"]) == ("client_cancelled", 1)
    assert (row["estimated"], row["input_tokens"], row["cost_nanousd"]) == (0, 0, None)
    for caller in callers:
        caller.leave()
    rows = await ground.rows_at(lane, CONNECTIONS + 1)
    assert [row["estimated"] for row in rows] == [1] * CONNECTIONS + [0]
    await ground.quiet()
    assert (await ground.deployments())[lane.name]["live"]["connections"] == 0
