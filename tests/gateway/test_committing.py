from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.committing import HELD_BYTES_MAX, hold, holds_back
from gateway.errors import UpstreamError
from policies.route_rules import AT_FIRST_TOKEN, CommitRules
from policies.vocabulary import Failure, FailureKind
from tests.gateway.attempts.racing import Pieces

BROKE = UpstreamError(Failure(FailureKind.TRUNCATED), "a")


async def rest(answer: Any) -> list[bytes]:
    found = []
    while piece := await answer.read():
        found.append(piece)
    return found


class Stalling(Pieces):
    """Goes on after its first pieces when told to."""

    def __init__(self, *pieces: bytes | BaseException, after: int = 1) -> None:
        super().__init__(*pieces)
        self.goes_on = asyncio.Event()
        self.waits = asyncio.Event()
        self._after = after

    async def read(self) -> bytes:
        if len(self.tally.text) >= self._after:
            self.waits.set()
            await self.goes_on.wait()
        return await super().read()


@pytest.mark.parametrize(
    ("rules", "expected"), [(AT_FIRST_TOKEN, False), (CommitRules(tokens=2), True), (CommitRules(hold_s=0.1), True)]
)
def test_only_a_window_beyond_the_first_content_holds_back(rules: CommitRules, expected: bool) -> None:  # noqa: FBT001 - a parameter
    assert holds_back(rules) is expected


async def test_so_many_pieces_of_content_are_held_back_and_come_first() -> None:
    answer = Pieces(b"one", b"two", b"three", b"four")
    held = await hold(cast("Any", answer), CommitRules(tokens=3))
    assert answer.tally.text == ["one", "two", "three"]
    assert held.tally is answer.tally
    assert await rest(held) == [b"onetwothree", b"four"]


async def test_a_failure_within_the_window_is_seen_by_nobody() -> None:
    answer = Pieces(b"one", BROKE, b"three")
    with pytest.raises(UpstreamError):
        await hold(cast("Any", answer), CommitRules(tokens=3))
    assert answer.closed == 1


async def test_a_failure_after_the_window_is_the_callers() -> None:
    held = await hold(cast("Any", Pieces(b"one", b"two", BROKE)), CommitRules(tokens=2))
    assert await held.read() == b"onetwo"
    with pytest.raises(UpstreamError):
        await held.read()


async def test_an_answer_that_ends_within_the_window_is_whole() -> None:
    held = await hold(cast("Any", Pieces(b"one", b"two")), CommitRules(tokens=9))
    assert await rest(held) == [b"onetwo"]


async def test_a_window_of_time_ends_though_nothing_comes_and_loses_nothing() -> None:
    answer = Stalling(b"one", b"two")
    held = await hold(cast("Any", answer), CommitRules(hold_s=0.02))
    assert await held.read() == b"one"
    assert answer.waits.is_set()
    answer.goes_on.set()
    assert await rest(held) == [b"two"]


async def test_whichever_comes_first_ends_the_window() -> None:
    answer = Stalling(b"one", b"two", b"three", after=2)
    async with asyncio.timeout(5):
        held = await hold(cast("Any", answer), CommitRules(tokens=2, hold_s=60.0))
    assert await held.read() == b"onetwo"


async def test_a_window_holds_a_megabyte_at_most() -> None:
    big = b"x" * (HELD_BYTES_MAX // 2)
    answer = Pieces(big, big, big)
    held = await hold(cast("Any", answer), CommitRules(tokens=100))
    assert len(await held.read()) == HELD_BYTES_MAX
    assert await held.read() == big


async def test_a_caller_who_leaves_within_the_window_closes_the_stream() -> None:
    answer = Stalling(b"one", b"two")
    holding = asyncio.ensure_future(hold(cast("Any", answer), CommitRules(hold_s=60.0)))
    await answer.waits.wait()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert answer.closed == 1


async def test_a_reading_that_nobody_takes_up_again_is_ended() -> None:
    answer = Stalling(b"one", BROKE)
    held = await hold(cast("Any", answer), CommitRules(hold_s=0.01))
    answer.goes_on.set()
    await asyncio.sleep(0)
    held.close()
    await asyncio.sleep(0)
    assert answer.closed == 1
