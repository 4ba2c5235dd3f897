"""How often, how soon and where a call is tried again, as the route says; and never beyond its time."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import SPARE_TEXT, good, proving_ground
from tests.scripted_upstream import answer, request, reset, send, stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from tests.end_to_end.lanes import Lane
    from tests.end_to_end.proving_ground import Ground
    from tests.scripted_upstream import Peer, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTEMPTS = 3
LIMITS = {"total": "2s", "first_token": "400ms"}
OVERLOADED = answer(b'{"error": {"message": "overloaded"}}', status=503)


def in_turn(*scripts: tuple[Step, ...]) -> Step:
    """Each request does the next of `scripts`, on whichever connection it comes; the last one goes on for ever."""
    left = list(scripts)

    async def step(peer: Peer) -> None:
        while True:
            for inner in left.pop(0) if len(left) > 1 else left[0]:
                await inner(peer)
            if peer.writer.transport.is_closing():
                return
            await request()(peer)

    return step


def limited(retry_after: str) -> tuple[Step, ...]:
    return (send(answer(b'{"error": {"message": "slow down"}}', status=429, headers=[("retry-after", retry_after)])),)


def asked(ground: Ground, lane: Lane) -> int:
    """How many requests this lane's deployment was sent."""
    return sum(json.loads(received.body)["model"] == lane.name for received in ground.far.requests)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    route = {"retry": {"attempts": ATTEMPTS}, "timeouts": LIMITS}
    async with proving_ground(tmp_path_factory.mktemp("fallback"), lanes=30, route=route) as ground:
        yield ground


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", [(send(OVERLOADED),), (reset(),)], ids=["503", "reset"])
async def test_it_is_tried_again_until_it_works(ground: Ground, fault: tuple[Step, ...], stream: bool) -> None:  # noqa: FBT001 - a parameter
    lane = ground.lane(in_turn(fault, fault, (good("third"),)))
    reply = await ground.ask(lane.alone, stream=stream)
    assert (reply.status, reply.text, reply.attempts) == (200, "third", 3)
    rows = await ground.settled(reply)
    assert [row["outcome"] == "ok" for row in rows] == [False, False, True]
    assert {row["deployment"] for row in rows} == {lane.name}
    assert asked(ground, lane) == 3


def times_ms(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """When each attempt began and ended."""
    return [(row["started_at_ms"], row["started_at_ms"] + row["duration_ms"]) for row in rows]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_attempts_are_counted_per_deployment(ground: Ground, stream: bool) -> None:  # noqa: FBT001 - a parameter
    lane = ground.lane(in_turn((send(OVERLOADED),)))
    reply = await ground.ask(lane.backed, stream=stream)
    assert (reply.status, reply.text, reply.attempts) == (200, SPARE_TEXT, ATTEMPTS + 1)
    rows = await ground.settled(reply)
    assert [row["deployment"] for row in rows] == [lane.name] * ATTEMPTS + [lane.spare]
    assert [row["outcome"] for row in rows] == ["status"] * ATTEMPTS + ["ok"]


async def test_without_a_fallback_it_gives_up_after_its_attempts(ground: Ground) -> None:
    lane = ground.lane(in_turn((send(OVERLOADED),)))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.error["code"], reply.attempts) == (502, "upstream_error", ATTEMPTS)
    rows = await ground.settled(reply)
    assert [row["outcome"] for row in rows] == ["status"] * ATTEMPTS
    assert asked(ground, lane) == ATTEMPTS
    assert all(ended_ms <= begins_ms + 1 for (_, ended_ms), (begins_ms, _) in pairwise(times_ms(rows)))


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422, 501])
async def test_what_will_not_get_better_is_not_tried_again(ground: Ground, status: int) -> None:
    lane = ground.lane(in_turn((send(answer(b'{"error": {"message": "no"}}', status=status)),)))
    reply = await ground.ask(lane.alone)
    assert (reply.attempts, asked(ground, lane)) == (1, 1)
    await ground.settled(reply)


async def test_a_short_wait_is_sat_out_where_there_is_nowhere_else(ground: Ground) -> None:
    lane = ground.lane(in_turn(limited("1"), (good("later"),)))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.text, reply.attempts) == (200, "later", 2)
    rows = await ground.settled(reply)
    assert [row["outcome"] for row in rows] == ["rate_limited", "ok"]
    (_, refused_ms), (again_ms, _) = times_ms(rows)
    assert again_ms - refused_ms >= 999


async def test_a_short_wait_is_sat_out_before_a_fallback_answers(ground: Ground) -> None:
    """As long as the call's time allows."""
    lane = ground.lane(in_turn(limited("1")))
    reply = await ground.ask(lane.backed, stream=True)
    assert (reply.text, reply.attempts) == (SPARE_TEXT, 3)
    rows = await ground.settled(reply)
    assert [row["deployment"] for row in rows] == [lane.name, lane.name, lane.spare]
    (_, refused_ms), (again_ms, again_refused_ms), (elsewhere_ms, _) = times_ms(rows)
    assert again_ms - refused_ms >= 999
    assert elsewhere_ms - again_refused_ms < 500


@pytest.mark.parametrize("wait", ["6", "3600"])
async def test_no_long_wait_is_sat_out_where_a_fallback_can_answer(ground: Ground, wait: str) -> None:
    lane = ground.lane(in_turn(limited(wait)))
    reply = await ground.ask(lane.backed, stream=True)
    assert (reply.text, reply.attempts) == (SPARE_TEXT, 2)
    rows = await ground.settled(reply)
    (_, refused_ms), (elsewhere_ms, _) = times_ms(rows)
    assert elsewhere_ms - refused_ms < 500


@pytest.mark.parametrize("wait", ["5", "3600"])
async def test_a_wait_beyond_the_calls_time_is_the_callers(ground: Ground, wait: str) -> None:
    lane = ground.lane(in_turn(limited(wait)))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.headers["retry-after"], reply.attempts) == (429, wait, 1)
    (row,) = await ground.settled(reply)
    assert row["duration_ms"] < 500


async def test_the_time_of_a_call_is_shared_by_its_attempts(ground: Ground) -> None:
    """The second attempt has what the first one left."""

    async def dawdle(_: Peer) -> None:
        await asyncio.sleep(0.8)

    lane = ground.lane(in_turn((dawdle, send(OVERLOADED)), (stall(),)))
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.error["code"], reply.attempts) == (504, "upstream_timeout", 2)
    rows = await ground.settled(reply)
    assert [row["outcome"] for row in rows] == ["status", "total_timeout"]
    (began_ms, _), (again_ms, ended_ms) = times_ms(rows)
    assert 1980 <= ended_ms - began_ms <= 3000
    assert ended_ms - again_ms <= 1300


async def test_a_stream_that_never_begins_is_tried_again_within_its_time(ground: Ground) -> None:
    lane = ground.lane(in_turn((stall(),)))
    reply = await ground.ask(lane.alone, stream=True)
    assert (reply.status, reply.error["code"], reply.attempts) == (504, "upstream_timeout", ATTEMPTS)
    rows = await ground.settled(reply)
    assert [row["outcome"] for row in rows] == ["first_token_timeout"] * ATTEMPTS
    assert all(row["estimated"] and row["input_tokens"] and not row["output_tokens"] for row in rows)


async def test_a_caller_that_leaves_while_waiting_ends_the_call(ground: Ground) -> None:
    lane = ground.lane(in_turn(limited("1"), (good(),)))
    caller = await ground.open(lane.alone)
    peer = await ground.peer(lane)
    async with asyncio.timeout(5):
        while not (await ground.deployments())[lane.name]["failures"]:  # noqa: ASYNC110 - another process's count
            await asyncio.sleep(0.01)
    caller.leave()
    row = await ground.left(lane)
    assert (row["outcome"], row["status"], row["cost_nanousd"]) == ("rate_limited", 429, None)
    assert len(peer.requests) == asked(ground, lane) == 1
