from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.caching.flights import ANSWER_BYTES_MAX, FOLLOWERS_MAX, Alike, Flights
from gateway.call import Reply
from gateway.errors import DrainingError, LimitError, UpstreamError
from policies.vocabulary import Failure, FailureKind, OnDisconnect
from tests.gateway.repeated_calls import Streamed, Upstreams, Whole, keyed, read_all
from tests.gateway.stages.a_call import CHATTY

if TYPE_CHECKING:
    from gateway.caching.flights import Flight
    from gateway.call import Call

ALIKE = Alike("team:acme/shop", b"digest", b"")
DOWN = UpstreamError(Failure(FailureKind.STATUS, "down", 503), "a")
REFUSED = UpstreamError(Failure(FailureKind.STATUS, "no", 400), "a")
DRAINING = replace(CHATTY, on_disconnect=OnDisconnect.DRAIN)


class Ground:
    def __init__(self) -> None:
        self.flights = Flights(lambda: True)
        self.behind = Upstreams()

    def lead(self, call: Call | None = None) -> asyncio.Task[Reply]:
        return asyncio.ensure_future(self.flights.lead(ALIKE, b"exact", call or keyed(), self.behind))

    async def flight(self) -> Flight:
        await self.behind.came.wait()
        flight = self.flights.find(ALIKE)
        assert flight is not None
        return flight


@pytest.fixture
async def ground() -> Ground:
    return Ground()


async def leave(call: Call, leading: asyncio.Task[Reply]) -> None:
    """As the edge does when a caller's connection goes."""
    if not leading.done():
        leading.cancel()
        await asyncio.wait([leading])
    call.cancelled = True
    for attempt in call.attempts:
        attempt.cancelled = attempt.ended_s is None
    if call.drain is not None:
        await call.drain()
    call.scope.close()


async def test_all_get_the_leaders_answer(ground: Ground) -> None:
    leading = ground.lead()
    flight = await ground.flight()
    joining = [asyncio.ensure_future(flight.join(keyed(), 60.0)) for _ in range(3)]
    await asyncio.sleep(0)
    ground.behind.say(Whole())
    answers = [(await leading).answer, *await asyncio.gather(*joining)]
    assert [answer.body for answer in answers] == [b'{"n": 1}'] * 4
    assert (len(ground.behind.calls), len(ground.flights)) == (1, 0)
    assert ground.behind.calls[0].drain is None


async def test_a_stream_is_followed_from_its_beginning(ground: Ground) -> None:
    answer = Streamed()
    leading = ground.lead()
    flight = await ground.flight()
    ground.behind.say(answer)
    answer.pieces.put_nowait(b"1")
    led = await leading
    assert await led.answer.read() == b"1"
    joined = await flight.join(keyed(), 60.0)
    assert await joined.read() == b"1"
    answer.pieces.put_nowait(b"2")
    answer.pieces.put_nowait(None)
    assert [await read_all(led), await joined.read(), await joined.read()] == [b"2", b"2", b""]
    assert ground.flights.find(ALIKE) is None


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_leader_may_leave_while_others_follow(ground: Ground, is_stream: bool) -> None:  # noqa: FBT001 - a parameter
    call, answer = keyed(), Streamed() if is_stream else Whole()
    leading = ground.lead(call)
    flight = await ground.flight()
    if is_stream:
        ground.behind.say(answer)
        await leading
    joining = asyncio.ensure_future(flight.join(keyed(), 60.0))
    await asyncio.sleep(0)
    leaving = asyncio.ensure_future(leave(call, leading))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not leaving.done()
    if is_stream:
        answer.pieces.put_nowait(b"1")
        answer.pieces.put_nowait(None)
        joined = await joining
        assert [await joined.read(), await joined.read()] == [b"1", b""]
    else:
        ground.behind.say(answer)
        assert (await joining).body == b'{"n": 1}'
    await leaving
    assert (call.cancelled, call.attempts[0].cancelled) == (True, False)


async def test_a_run_that_nobody_wants_is_cancelled(ground: Ground) -> None:
    call = keyed()
    leading = ground.lead(call)
    flight = await ground.flight()
    await leave(call, leading)
    assert (call.attempts[0].cancelled, call.attempts[0].ended_s) == (True, 1.0)
    assert (ground.flights.find(ALIKE), flight.recording.is_over) == (None, True)


async def test_the_last_follower_takes_the_run_along(ground: Ground) -> None:
    call, follower = keyed(), keyed()
    leading = ground.lead(call)
    flight = await ground.flight()
    joining = asyncio.ensure_future(flight.join(follower, 60.0))
    await asyncio.sleep(0)
    leaving = asyncio.ensure_future(leave(call, leading))
    await asyncio.sleep(0)
    joining.cancel()
    await asyncio.wait([joining])
    follower.scope.close()
    async with asyncio.timeout(1.0):
        await leaving
    assert call.attempts[0].cancelled
    assert len(ground.flights) == 0


async def test_what_is_to_be_drained_is_read_on_without_followers(ground: Ground) -> None:
    call, answer = keyed(), Streamed()
    leading = ground.lead(call)
    await ground.flight()
    ground.behind.say(answer)
    await leading
    call.attempts[0].deployment = DRAINING
    leaving = asyncio.ensure_future(leave(call, leading))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not leaving.done()
    answer.pieces.put_nowait(None)
    await leaving
    assert not call.attempts[0].cancelled


@pytest.mark.parametrize(
    ("error", "is_its_own"),
    [
        (DOWN, False),
        (REFUSED, False),
        (UpstreamError(Failure(FailureKind.TOTAL), "a"), True),
        (LimitError("over", status=429, type_="requests", code="rate_limit_exceeded", retry_after_s=1.0), True),
        (RuntimeError("a bug"), True),
    ],
)
async def test_how_a_run_ended_is_told_to_all(ground: Ground, error: Exception, is_its_own: bool) -> None:  # noqa: FBT001 - a parameter
    leading = ground.lead()
    flight = await ground.flight()
    joining = asyncio.ensure_future(flight.join(keyed(), 60.0))
    await asyncio.sleep(0)
    ground.behind.say(error)
    found = await asyncio.gather(leading, joining, return_exceptions=True)
    assert list(found) == [error, error]
    assert flight.ended_by_itself(error, keyed()) is is_its_own
    assert ground.behind.calls[0].drain is None


async def test_what_is_held_against_a_request_is_said_to_its_like_to_the_letter_only(ground: Ground) -> None:
    ground.lead()
    flight = await ground.flight()
    other = keyed()
    other.request.members["metadata"] = msgspec.Raw(b"7")
    assert [flight.ended_by_itself(error, other) for error in (REFUSED, DOWN)] == [True, False]
    ground.behind.say(Whole())


async def test_a_leader_that_is_ended_is_no_failure_of_its_upstream(ground: Ground) -> None:
    call = keyed()
    leading = ground.lead(call)
    flight = await ground.flight()
    joining = asyncio.ensure_future(flight.join(keyed(), 60.0))
    await asyncio.sleep(0)
    call.scope.close()  # whatever the reason: what a call has taken goes with it
    (found,) = await asyncio.gather(joining, return_exceptions=True)
    assert isinstance(found, DrainingError)
    assert flight.ended_by_itself(found, keyed())
    await asyncio.wait([leading])
    assert isinstance(leading.exception(), DrainingError)


async def test_a_follower_waits_for_as_long_as_its_own_route_says(ground: Ground) -> None:
    leading = ground.lead()
    flight = await ground.flight()
    with pytest.raises(UpstreamError) as late:
        await flight.join(keyed(), 0.02)
    assert late.value.failure.kind is FailureKind.TOTAL
    answer = Streamed()
    ground.behind.say(answer)
    await leading
    joined = await flight.join(keyed(), 0.05)
    with pytest.raises(UpstreamError):
        await joined.read()
    answer.pieces.put_nowait(None)


async def test_an_answer_that_is_too_long_is_not_joined_any_more(ground: Ground) -> None:
    answer, leading = Streamed(), ground.lead()
    await ground.flight()
    ground.behind.say(answer)
    led = await leading
    answer.pieces.put_nowait(b"x" * (ANSWER_BYTES_MAX + 1))
    await led.answer.read()
    assert ground.flights.find(ALIKE) is None
    assert len(ground.flights) == 1
    answer.pieces.put_nowait(None)
    await read_all(led)


async def test_followers_are_bounded(ground: Ground) -> None:
    leading = ground.lead()
    flight = await ground.flight()
    for _ in range(FOLLOWERS_MAX):
        flight.recording.follow()
    assert ground.flights.find(ALIKE) is None
    another = ground.lead()  # for the next so many
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ground.flights.find(ALIKE) not in {None, flight}
    ground.behind.say(Whole())
    await leading
    assert ground.flights.find(ALIKE) is not None
    ground.behind.say(Whole())
    await another
    assert (ground.flights.find(ALIKE), len(ground.flights)) == (None, 0)


async def test_a_storm_of_callers_that_leave_leaves_nothing_behind(ground: Ground) -> None:
    """Each who stays gets the whole answer of some run, and no run, task or room outlives its callers."""
    stayed: list[bytes] = []

    async def behind(call: Call) -> Reply:
        ground.behind.calls.append(call)
        await asyncio.sleep(0.001)
        return Reply(Whole(call.id.encode()), CHATTY)

    async def one(number: int) -> None:
        call = keyed()
        while True:
            flight = ground.flights.find(ALIKE)
            if flight is None:
                coming = asyncio.ensure_future(ground.flights.lead(ALIKE, b"exact", call, behind))
            else:
                coming = asyncio.ensure_future(_body(flight, call))
            if number % 3:
                await asyncio.wait([coming], timeout=number % 7 / 5000)
                await leave(call, coming)
                return
            await asyncio.wait([coming])
            if coming.exception() is None:
                stayed.append(coming.result().answer.body or b"")
                call.scope.close()
                return
            assert isinstance(coming.exception(), DrainingError)

    await asyncio.gather(*(one(number) for number in range(150)))
    assert len(stayed) == 50
    assert set(stayed) <= {call.id.encode() for call in ground.behind.calls}
    assert len(ground.flights) == 0
    assert len(asyncio.all_tasks()) == 1


async def test_what_a_run_leaves_behind_does_not_wait_for_the_collector(ground: Ground) -> None:
    leading = ground.lead()
    flight = weakref.ref(await ground.flight())
    gc.disable()
    try:
        ground.behind.say(Whole())
        await leading
        ground.behind.calls[0].scope.close()
        ground.behind.calls.clear()
        del leading
        assert flight() is None
    finally:
        gc.enable()


async def _body(flight: Flight, call: Call) -> Reply:
    return Reply(await flight.join(call, 60.0), None)
