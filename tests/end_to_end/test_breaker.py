"""Deployments that fail are set aside, asked again by one probe, and never all of them at once."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import ROLE, SPARE_TEXT, good, piece, proving_ground
from tests.scripted_upstream import answer, chunked, forever, request, send, stall, waits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.lanes import Lane
    from tests.end_to_end.proving_ground import Ground
    from tests.scripted_upstream import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILURES = 5
STATE = re.compile(r'pointsman_circuit_state\{deployment="([^"]+)"\} (\d)')
NO = b'{"error": {"message": "no"}}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with proving_ground(tmp_path_factory.mktemp("breaker"), lanes=20) as ground:
        yield ground


def refuses(status: int, retry_after: str | None = None) -> Step:
    headers = [] if retry_after is None else [("retry-after", retry_after)]
    return forever(send(answer(NO, status=status, headers=headers)), request())


def asked(ground: Ground, lane: Lane) -> int:
    return sum(json.loads(received.body)["model"] == lane.name for received in ground.far.requests)


async def phase(ground: Ground, lane: Lane) -> tuple[str, int]:
    """What /deployments and /metrics say; they must say the same."""
    _, metrics = await ground.gateway.admin("/metrics")
    shown = {found[1]: int(found[2]) for found in STATE.finditer(metrics)}
    return (await ground.deployments())[lane.name]["breaker"], shown[lane.name]


OPEN, HALF_OPEN, CLOSED = ("open", 2), ("half_open", 1), ("closed", 0)


async def test_five_failures_set_a_deployment_aside(ground: Ground) -> None:
    lane = ground.lane(refuses(503))
    for _ in range(FAILURES - 1):
        assert (await ground.ask(lane.backed)).attempts == 2
        assert await phase(ground, lane) == CLOSED
    assert (await ground.ask(lane.backed)).attempts == 2
    assert await phase(ground, lane) == OPEN
    reply = await ground.ask(lane.backed, stream=True)
    assert (reply.text, reply.attempts) == (SPARE_TEXT, 1)
    assert asked(ground, lane) == FAILURES
    (row,) = await ground.settled(reply)
    assert row["deployment"] == lane.spare


async def test_the_last_one_is_tried_all_the_same(ground: Ground) -> None:
    """A guess is better than a refusal, and a success closes the breaker at once."""
    lane = ground.lane(refuses(500))
    for _ in range(FAILURES):
        await ground.ask(lane.alone)
    assert await phase(ground, lane) == OPEN
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.attempts, asked(ground, lane)) == (502, 1, FAILURES + 1)
    ground.stage.scripts[lane.name] = (forever(good(), request()),)
    for peer in ground.far.connections:
        peer.writer.transport.abort()
    reply = await ground.ask(lane.alone)
    assert (reply.status, reply.text) == (200, "hello")
    assert await phase(ground, lane) == CLOSED


async def until_asked(ground: Ground, lane: Lane, count: int) -> None:
    """Call on the backed route until the breaker lets one through again."""
    async with asyncio.timeout(8):
        while asked(ground, lane) < count:
            await ground.ask(lane.backed)


async def test_one_probe_asks_whether_it_is_well_again(ground: Ground) -> None:
    goes_on = asyncio.Event()
    lane = ground.lane(send(answer(NO, status=429, headers=[("retry-after", "1")])), request(), waits(goes_on), good())
    assert (await ground.ask(lane.backed)).text == SPARE_TEXT
    assert await phase(ground, lane) == OPEN
    others = []
    async with asyncio.timeout(8):
        while asked(ground, lane) < 2:
            others.append(asyncio.ensure_future(ground.ask(lane.backed)))
            await asyncio.wait(others, timeout=0.05)
    more = await asyncio.gather(*[ground.ask(lane.backed, stream=True) for _ in range(5)])
    assert {reply.text for reply in more} == {SPARE_TEXT}
    assert await phase(ground, lane) == HALF_OPEN
    assert asked(ground, lane) == 2
    goes_on.set()
    texts = [reply.text for reply in await asyncio.gather(*others)]
    assert texts.count("hello") == 1
    assert await phase(ground, lane) == CLOSED


async def test_a_probe_that_fails_sets_it_aside_again(ground: Ground) -> None:
    lane = ground.lane(refuses(429, "1"))
    await ground.ask(lane.backed)
    await until_asked(ground, lane, 2)
    assert await phase(ground, lane) == OPEN
    assert [(await ground.ask(lane.backed)).attempts for _ in range(3)] == [1, 1, 1]
    assert asked(ground, lane) == 2


async def test_a_probe_whose_caller_leaves_lets_the_next_one_ask(ground: Ground) -> None:
    lane = ground.lane(send(answer(NO, status=429, headers=[("retry-after", "1")])), request(), stall())
    await ground.ask(lane.backed)
    async with asyncio.timeout(8):
        while asked(ground, lane) < 2:
            caller = await ground.open(lane.backed, stream=False)
            await asyncio.wait([asyncio.ensure_future(caller.reader.read())], timeout=0.1)
            caller.leave()
    await ground.quiet()
    ground.stage.scripts[lane.name] = (forever(good(), request()),)
    assert (await ground.ask(lane.backed)).text == "hello"
    assert await phase(ground, lane) == CLOSED


async def test_what_is_forbidden_to_one_call_sets_nothing_aside_at_once(ground: Ground) -> None:
    lane = ground.lane(refuses(403))
    for _ in range(2):
        assert (await ground.ask(lane.backed)).attempts == 2
    assert await phase(ground, lane) == CLOSED
    assert asked(ground, lane) == 2


@pytest.mark.parametrize("status", [401, 402])
async def test_a_refused_credential_is_not_tried_again_and_again(ground: Ground, status: int) -> None:
    lane = ground.lane(refuses(status))
    assert (await ground.ask(lane.backed)).attempts == 2
    assert await phase(ground, lane) == OPEN
    assert (await ground.ask(lane.backed)).attempts == 1
    assert asked(ground, lane) == 1


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_bad_requests_do_not_count(ground: Ground, status: int) -> None:
    lane = ground.lane(refuses(status))
    for _ in range(FAILURES + 1):
        assert (await ground.ask(lane.alone)).status == status
    assert await phase(ground, lane) == CLOSED


async def test_callers_who_leave_do_not_count(ground: Ground) -> None:
    lane = ground.lane(stall())
    for _ in range(FAILURES + 1):
        ground.stage.peers.pop(lane.name, None)
        caller = await ground.open(lane.alone)
        await ground.peer(lane)
        caller.leave()
    await ground.quiet()
    assert await phase(ground, lane) == CLOSED


async def test_streams_that_break_count(ground: Ground) -> None:
    """Each began well; a deployment that cuts every stream is not well."""
    lane = ground.lane(forever(send(chunked(ROLE, piece("hel"))), request()))
    for _ in range(FAILURES):
        reply = await ground.ask(lane.backed, stream=True)
        assert reply.events[-1]["error"]["code"] == "upstream_incomplete"
    assert await phase(ground, lane) == OPEN
    assert (await ground.ask(lane.backed, stream=True)).text == SPARE_TEXT
