"""Kept connections that their upstream closes just as they are used again: no caller ever notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.proving_ground import good, proving_ground
from tests.scripted_upstream import reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.proving_ground import Ground
    from tests.scripted_upstream import Peer, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = 60
STEP_S = 0.0001


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with proving_ground(tmp_path_factory.mktemp("reuse"), lanes=10) as ground:
        yield ground


def ends_in_time(end: Step | None) -> Step:
    """Answer, then end the connection a little later each time, about when the next request comes."""
    calls = 0

    async def step(peer: Peer) -> None:
        nonlocal calls
        calls += 1
        await good()(peer)
        await asyncio.sleep(calls % 40 * STEP_S)
        if end is not None:
            await end(peer)

    return step


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("end", [None, reset()], ids=["closed", "reset"])
async def test_no_call_is_lost_to_a_connection_that_ends_when_it_is_reused(
    ground: Ground,
    end: Step | None,
    stream: bool,  # noqa: FBT001 - a parameter
) -> None:
    """One attempt each, for nothing was answered on the connection that died. The route tries no second time."""
    lane = ground.lane(ends_in_time(end))
    for number in range(CALLS):
        reply = await ground.ask(lane.alone, stream=stream)
        assert (number, reply.status, reply.text, reply.attempts) == (number, 200, "hello", 1)
    rows = await ground.rows_at(lane, CALLS)
    assert {(row["outcome"], row["estimated"]) for row in rows} == {("ok", 0)}
    await ground.quiet()
