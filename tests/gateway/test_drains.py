from __future__ import annotations

import asyncio
import logging

import pytest

import gateway.drains as drains_module
from adapters.base import Tally
from gateway.call import Reply
from gateway.drains import DrainableAnswer, Drains, outlive
from gateway.errors import RequestError, UpstreamError
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import DEAR


class Ended:
    """How often a drain was finished, and when it was the first time."""

    def __init__(self) -> None:
        self.times = 0
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self.event.set()


class Stream:
    """An upstream's stream whose pieces come when the test says so."""

    def __init__(self) -> None:
        self.body: bytes | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.first_token_s: float | None = 1.0
        self.tally = Tally()
        self.closed = False
        self.pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    async def read(self) -> bytes:
        piece = await self.pieces.get()
        if isinstance(piece, Exception):
            raise piece
        if not piece:
            self.tally.usage = Usage(3, 4)
        return piece

    def close(self) -> None:
        self.closed = True


async def test_what_goes_on_is_finished_once_at_its_end() -> None:
    drains, ended, over = Drains(), Ended(), asyncio.Event()

    async def unfinished() -> None:
        await over.wait()

    drains.take_over(unfinished, ended)
    await asyncio.sleep(0)
    assert (len(drains), ended.times) == (1, 0)
    over.set()
    await asyncio.wait_for(ended.event.wait(), 1.0)
    await asyncio.sleep(0)
    assert (len(drains), ended.times) == (0, 1)


async def test_a_drain_is_bounded_in_time() -> None:
    drains, ended = Drains(drain_s=0.01), Ended()
    drains.take_over(asyncio.Event().wait, ended)
    await asyncio.wait_for(ended.event.wait(), 1.0)
    assert ended.times == 1


async def test_drains_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drains_module, "DRAINS_MAX", 1)
    drains = Drains()
    first, second = Ended(), Ended()
    drains.take_over(asyncio.Event().wait, first)
    drains.take_over(asyncio.Event().wait, second)
    await asyncio.wait_for(second.event.wait(), 1.0)
    assert first.times == 0
    await drains.close()
    await asyncio.sleep(0)
    assert (first.times, second.times) == (1, 1)


async def test_closing_ends_what_goes_on() -> None:
    drains, ended = Drains(), Ended()
    drains.take_over(asyncio.Event().wait, ended)
    await drains.close()
    await asyncio.sleep(0)
    assert ended.times == 1


async def test_trouble_is_logged_and_finishes_too(caplog: pytest.LogCaptureFixture) -> None:
    drains, ended = Drains(), Ended()

    async def broken() -> None:
        raise OSError("gone")

    with caplog.at_level(logging.ERROR):
        drains.take_over(broken, ended)
        await asyncio.wait_for(ended.event.wait(), 1.0)
    assert "could not be read to its end" in caplog.text


async def test_a_refusal_that_nobody_waits_for_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    drains, ended = Drains(), Ended()

    async def refused() -> None:
        raise RequestError("no", code="no")

    with caplog.at_level(logging.INFO):
        drains.take_over(refused, ended)
        await asyncio.wait_for(ended.event.wait(), 1.0)
    assert not caplog.records


async def test_no_piece_is_lost_to_a_cancelled_read() -> None:
    stream = Stream()
    answer = DrainableAnswer(stream)
    stream.pieces.put_nowait(b"one")
    assert await answer.read() == b"one"
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    for piece in (b"two", b"three", b""):
        stream.pieces.put_nowait(piece)
    assert await answer.read() == b"two"
    await asyncio.wait_for(answer.drain(), 1.0)
    assert answer.tally.usage == Usage(3, 4)
    assert stream.pieces.empty()


async def test_a_stream_that_breaks_says_so_to_whoever_reads() -> None:
    stream = Stream()
    answer = DrainableAnswer(stream)
    stream.pieces.put_nowait(UpstreamError(Failure(FailureKind.RESET), "a"))
    with pytest.raises(UpstreamError):
        await answer.drain()


async def test_closing_lets_go_of_a_read_that_is_under_way() -> None:
    stream = Stream()
    answer = DrainableAnswer(stream)
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    answer.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert stream.closed


async def test_what_must_end_at_once_still_cleans_up_after_itself() -> None:
    drains, ended, let_go = Drains(), Ended(), asyncio.Event()

    async def unfinished() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            let_go.set()

    drains.take_over(unfinished, ended, at_once=True)
    await asyncio.wait_for(ended.event.wait(), 1.0)
    assert let_go.is_set()


async def test_an_attempt_outlives_its_caller_up_to_its_last_byte() -> None:
    stream = Stream()
    asking: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    going_on = asyncio.create_task(outlive(asking))
    await asyncio.sleep(0)
    asking.set_result(Reply(DrainableAnswer(stream), DEAR))
    for piece in (b"one", b""):
        stream.pieces.put_nowait(piece)
    await asyncio.wait_for(going_on, 1.0)
    assert stream.tally.usage == Usage(3, 4)


async def test_an_attempt_that_may_not_go_on_is_cancelled() -> None:
    asking: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    going_on = asyncio.create_task(outlive(asking))
    await asyncio.sleep(0)
    going_on.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going_on
    assert asking.cancelled()
