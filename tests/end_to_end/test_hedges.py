"""A second attempt beside a late one, and a beginning that is held back: who answers, and what is written down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import ROLE, SPARE_TEXT, good, piece, proving_ground
from tests.scripted_upstream import chunk, head, request, send, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
HEDGE = {"after": "100ms", "at_most": "100%"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    route = {"hedge": HEDGE, "commit": {"tokens": 3}}
    async with proving_ground(tmp_path_factory.mktemp("hedges"), lanes=20, route=route) as ground:
        yield ground


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_hedge_answers_in_place_of_what_is_late_and_both_are_billed(ground: Ground, stream: bool) -> None:  # noqa: FBT001 - a parameter
    lane = ground.lane(stall())
    reply = await ground.ask(lane.backed, stream=stream)
    assert (reply.status, reply.text, reply.attempts) == (200, SPARE_TEXT, 2)
    assert reply.headers["x-pointsman-deployment"] == lane.spare
    late, hedge = await ground.settled(reply)
    assert (late["outcome"], late["cancelled"], late["estimated"]) == ("hedge_lost", 1, 1)
    assert late["input_tokens"] > 0
    assert late["cost_nanousd"] > 0
    assert 90 <= late["duration_ms"] < 1000
    assert (hedge["deployment"], hedge["outcome"], hedge["estimated"]) == (lane.spare, "ok", 0)
    _, metrics = await ground.gateway.admin("/metrics")
    assert f'from_deployment="{lane.name}",to_deployment="{lane.spare}",outcome="ok"}} 1' in metrics


async def test_what_is_in_time_needs_no_hedge(ground: Ground) -> None:
    lane = ground.lane(good())
    reply = await ground.ask(lane.backed, stream=True)
    assert (reply.text, reply.attempts) == ("hello", 1)
    assert [row["outcome"] for row in await ground.settled(reply)] == ["ok"]


async def test_a_caller_who_leaves_both_leaves_one_row_of_each(ground: Ground) -> None:
    lane = ground.lane(stall())
    for near in ground.near.connections:  # the next request there comes on a connection that stalls
        near.writer.transport.abort()
    ground.near.then(request(), stall())
    caller = await ground.open(lane.backed)
    await ground.peer(lane)
    async with asyncio.timeout(5):
        while not (await ground.in_flight())[lane.spare]:  # noqa: ASYNC110 - another process's count
            await asyncio.sleep(0.01)
    caller.leave()
    row = await ground.left(lane)
    both = await ground.rows(row["request_id"], 2)
    assert sorted(r["deployment"] for r in both) == sorted([lane.name, lane.spare])
    assert {(r["outcome"], r["cancelled"], r["estimated"]) for r in both} == {("client_cancelled", 1, 1)}


async def test_what_breaks_before_enough_of_it_came_moves_on_unseen(ground: Ground) -> None:
    lane = ground.lane(send(SSE + chunk(ROLE + piece("one ")) + chunk(piece("two "))))
    reply = await ground.ask(lane.backed, stream=True)
    assert (reply.text, reply.attempts) == (SPARE_TEXT, 2)
    broken, moved = await ground.settled(reply)
    assert (broken["outcome"], broken["estimated"]) == ("reset", 1)
    assert broken["output_tokens"] >= 2
    assert moved["outcome"] == "ok"
