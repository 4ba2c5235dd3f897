"""What becomes of a call with an `Idempotency-Key` when callers leave, as the edge makes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.drains import Drains
from gateway.errors import DrainingError, LimitError, UpstreamError
from gateway.lifecycle import Lifecycle
from gateway.limits.admitted import Admitted
from gateway.stages.replay import Replay
from gateway.state.replays.in_process import InProcessReplays
from policies.route_rules import ReplayRules
from policies.vocabulary import Failure, FailureKind
from tests.gateway.repeated_calls import Streamed, Upstreams, Whole, keyed, read_all

if TYPE_CHECKING:
    from gateway.call import Call, Reply


class Edge:
    """As much of an edge as decides what goes on when a caller has left."""

    def __init__(self, drain_s: float = 5.0) -> None:
        rules = ReplayRules()
        self.stage = Replay(InProcessReplays(lambda: rules, lambda: 0.0), lambda: rules, Lifecycle())
        self.behind: Upstreams = Upstreams()
        self.drains = Drains(drain_s)
        self.closed: list[Call] = []

    def ask(self, call: Call) -> asyncio.Task[bytes]:
        return asyncio.ensure_future(self._ask(call))

    async def _ask(self, call: Call) -> bytes:
        try:
            reply: Reply = await self.stage(call, self.behind)
            body = reply.answer.body if reply.answer.body is not None else await read_all(reply)
            call.drain = None
            return body
        except asyncio.CancelledError:
            call.cancelled = True
            if call.attempts and call.attempts[-1].failure is None:
                call.attempts[-1].cancelled = True
            raise
        finally:
            if call.drain is None:
                self._close(call)
            else:
                self.drains.take_over(call.drain, lambda: self._close(call), at_once=not call.cancelled)

    def _close(self, call: Call) -> None:
        self.closed.append(call)
        call.scope.close()


@pytest.fixture
async def edge() -> Edge:
    return Edge()


async def left(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def begun(edge: Edge) -> tuple[Call, asyncio.Task[bytes]]:
    call = keyed()
    task = edge.ask(call)
    await edge.behind.came.wait()
    return call, task


async def until_closed(edge: Edge, call: Call) -> None:
    async with asyncio.timeout(2):
        while call not in edge.closed:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)


async def test_who_lost_the_connection_gets_the_answer_with_the_next_try(edge: Edge) -> None:
    call, task = await begun(edge)
    await left(task)
    again = edge.ask(keyed())
    await settle()
    edge.behind.say(Whole())
    assert await again == b'{"n": 1}'
    assert len(edge.behind.calls) == 1
    await until_closed(edge, call)


async def test_an_answer_that_came_when_nobody_was_there_is_kept(edge: Edge) -> None:
    call, task = await begun(edge)
    await left(task)
    edge.behind.say(Whole())
    await until_closed(edge, call)
    assert await edge.ask(keyed()) == b'{"n": 1}'
    assert len(edge.behind.calls) == 1
    assert (call.cancelled, call.attempts[0].cancelled) == (True, False)


async def test_a_stream_goes_on_for_those_who_joined(edge: Edge) -> None:
    answer = Streamed()
    edge.behind.say(answer)
    call, task = await begun(edge)
    answer.pieces.put_nowait(b"1")
    await settle()
    joined = edge.ask(keyed())
    await settle()
    await left(task)
    assert call not in edge.closed
    answer.pieces.put_nowait(b"2")
    answer.pieces.put_nowait(None)
    assert await joined == b"12"
    await until_closed(edge, call)
    assert not answer.cancelled
    assert answer.closed == 1


async def test_a_joiner_who_leaves_takes_nothing_along(edge: Edge) -> None:
    answer = Streamed()
    edge.behind.say(answer)
    _, task = await begun(edge)
    joined = edge.ask(keyed())
    await settle()
    await left(joined)
    answer.pieces.put_nowait(b"1")
    answer.pieces.put_nowait(None)
    assert await task == b"1"


async def test_what_nobody_comes_back_for_ends_in_time() -> None:
    edge = Edge(drain_s=0.05)
    answer = Streamed()
    edge.behind.say(answer)
    call, task = await begun(edge)
    answer.pieces.put_nowait(b"1")
    await settle()
    await left(task)
    await until_closed(edge, call)
    assert answer.cancelled
    assert call.attempts[0].cancelled
    fresh = Whole()
    edge.behind.say(fresh)
    assert await edge.ask(keyed()) == fresh.body
    assert len(edge.behind.calls) == 2


async def test_it_is_not_ended_while_somebody_follows() -> None:
    edge = Edge(drain_s=0.05)
    answer = Streamed()
    edge.behind.say(answer)
    call, task = await begun(edge)
    joined = edge.ask(keyed())
    await settle()
    await left(task)
    await asyncio.sleep(0.1)
    assert not answer.cancelled
    await left(joined)
    await until_closed(edge, call)
    assert answer.cancelled


async def test_the_end_of_the_process_ends_it(edge: Edge) -> None:
    call, task = await begun(edge)
    await left(task)
    await edge.drains.close()
    await until_closed(edge, call)
    assert call.attempts[0].cancelled


async def test_a_stream_that_breaks_when_its_caller_has_left_failed_all_the_same(edge: Edge) -> None:
    answer = Streamed()
    edge.behind.say(answer)
    call, task = await begun(edge)
    await settle()
    await left(task)
    answer.pieces.put_nowait(UpstreamError(Failure(FailureKind.TRUNCATED, "cut"), "a"))
    await until_closed(edge, call)
    failure = call.attempts[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.TRUNCATED
    assert not call.attempts[0].cancelled


def run_of(edge: Edge) -> asyncio.Task[None]:
    """The task of the one call that is made at this moment."""
    (once,) = edge.stage._running.values()
    assert once._task is not None
    return once._task


async def test_a_call_that_lost_its_place_tells_all_who_wait(edge: Edge) -> None:
    call, task = await begun(edge)
    joined = edge.ask(keyed())
    await settle()
    admitted = call.admitted = Admitted(cast("Any", None))
    admitted.is_lost = True
    run_of(edge).cancel()
    found = await asyncio.gather(task, joined, return_exceptions=True)
    assert [cast("LimitError", one).code for one in found] == ["reservation_lost"] * 2


class ReadsOn(Upstreams):
    """What stands behind has its own way to go on when it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def __call__(self, call: Call) -> Reply:
        try:
            return await super().__call__(call)
        except asyncio.CancelledError:
            call.drain = self._read_on
            raise

    async def _read_on(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_an_attempt_that_would_read_on_is_ended_with_the_run(edge: Edge) -> None:
    """Its time is up as well."""
    edge.behind = behind = ReadsOn()
    call, task = await begun(edge)
    await left(task)
    await edge.drains.close()
    await until_closed(edge, call)
    assert behind.ended.is_set()


async def test_a_caller_told_of_the_end_is_not_told_of_a_bug(edge: Edge) -> None:
    _, task = await begun(edge)
    run_of(edge).cancel()
    with pytest.raises(DrainingError):
        await task
