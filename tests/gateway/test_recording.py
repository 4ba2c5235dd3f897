from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from adapters.base import Tally
from gateway.errors import InternalError
from gateway.recording import AHEAD_BYTES, PIECE_BYTES, Following, Recording, Replayed, Room
from gateway.state.replays.store import Outcome

ASKED = b"q" * 32


class Pieces:
    """An answer whose pieces are read one after another; `asked` counts how often."""

    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = (("openai-version", "1"),)
    first_token_s: float | None = None

    def __init__(self, *pieces: bytes) -> None:
        self.tally = Tally()
        self.asked = 0
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None: ...


def a_recording(most_bytes: int = 1 << 20, room: Room | None = None, room_bytes: int = 1 << 22) -> Recording:
    return Recording(ASKED, "req_1", room or Room(), most_bytes, room_bytes)


async def all_of(follower: Following | Replayed) -> bytes:
    found = b""
    while piece := await follower.read():
        found += piece
    return found


async def run(recording: Recording, answer: Pieces) -> None:
    recording.open(answer, cast("Any", None), None)
    await recording.fill(answer)
    recording.end()


async def test_everybody_gets_all_of_it_whenever_they_come() -> None:
    recording = a_recording()
    early = recording.follow()
    reading = asyncio.ensure_future(all_of(early))
    running = asyncio.ensure_future(run(recording, Pieces(b"a", b"b", b"c")))
    await recording.opened()
    await asyncio.sleep(0)
    middle = recording.follow()
    assert [await reading, await all_of(middle)] == [b"abc", b"abc"]
    await running
    assert await all_of(recording.follow()) == b"abc"


async def test_what_is_kept_is_what_was_sent() -> None:
    recording, answer = a_recording(), Pieces(b"a", b"b")
    await run(recording, answer)
    assert recording.outcome(answer, None) == Outcome("req_1", None, answer.headers, events=b"ab")


async def test_what_ends_it_is_heard_after_what_came_before() -> None:
    recording = a_recording()
    follower = recording.follow()
    recording.open(Pieces(), None, None)
    reading = asyncio.ensure_future(follower.read())
    await asyncio.sleep(0)
    recording._add(b"a")
    recording.end(InternalError("over"))
    assert await reading == b"a"
    for _ in range(2):
        with pytest.raises(InternalError):
            await follower.read()


async def test_what_ends_it_before_its_beginning_is_heard_by_all() -> None:
    recording = a_recording()
    waiting = [asyncio.ensure_future(recording.follow().opened()) for _ in range(3)]
    await asyncio.sleep(0)
    recording.end(InternalError("over"))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [InternalError] * 3


async def test_it_is_read_ahead_of_the_fastest_but_not_far() -> None:
    recording = a_recording(most_bytes=1 << 24)
    first, slow = recording.follow(), recording.follow()
    answer = Pieces(*[b"x" * 65_536] * 40)
    running = asyncio.ensure_future(run(recording, answer))
    await asyncio.sleep(0.01)
    assert recording._total_bytes <= AHEAD_BYTES + 65_536
    assert len(await all_of(first)) == 40 * 65_536  # whoever is slow holds nobody up
    assert len(await all_of(slow)) == 40 * 65_536
    await running


async def test_without_followers_nothing_holds_it_up() -> None:
    recording = a_recording(most_bytes=1 << 24)
    await asyncio.wait_for(run(recording, Pieces(*[b"x" * 65_536] * 40)), 1)
    assert recording._held_bytes == 40 * 65_536


async def test_what_is_too_long_to_be_kept_is_held_only_until_all_have_read_it() -> None:
    recording = a_recording(most_bytes=100_000)
    first, slow = recording.follow(), recording.follow()
    answer = Pieces(*[b"x" * 50_000] * 40)
    running = asyncio.ensure_future(run(recording, answer))
    fast = asyncio.ensure_future(all_of(first))
    await asyncio.sleep(0.02)
    assert not recording.is_whole
    assert recording._held_bytes <= AHEAD_BYTES + 50_000
    assert not fast.done()
    assert len(await all_of(slow)) == len(await fast) == 40 * 50_000
    await running
    assert recording._held_bytes == 0
    assert recording.outcome(answer, None).is_spent


async def test_a_slow_one_who_leaves_lets_the_others_go_on() -> None:
    recording = a_recording(most_bytes=1000)
    first, slow = recording.follow(), recording.follow()
    running = asyncio.ensure_future(run(recording, Pieces(*[b"x" * 50_000] * 20)))
    fast = asyncio.ensure_future(all_of(first))
    await asyncio.sleep(0.01)
    assert not fast.done()
    slow.close()
    slow.close()
    assert len(await fast) == 20 * 50_000
    await running


async def test_the_room_is_shared_and_given_back() -> None:
    room = Room()
    recordings = [a_recording(room=room, room_bytes=2500) for _ in range(3)]
    answers = [Pieces(b"x" * 1000) for _ in recordings]
    for recording, answer in zip(recordings, answers, strict=True):
        recording.open(answer, None, None)
        await recording.fill(answer)
    assert [recording.is_whole for recording in recordings] == [True, True, False]
    assert room.used_bytes == 2000
    for recording in recordings:
        recording.end()
        recording.end()
    assert room.used_bytes == 0


async def test_a_whole_answer_is_kept_if_it_is_short_enough() -> None:
    answer = Pieces()
    answer.body = b"x" * 10
    assert a_recording(10).outcome(answer, None).body == answer.body
    assert a_recording(9).outcome(answer, None).is_spent


async def test_one_waits_for_its_end_or_until_nobody_wants_it() -> None:
    recording = a_recording()
    follower = recording.follow()
    unwanted, over = asyncio.ensure_future(recording.unwanted()), asyncio.ensure_future(recording.over())
    await asyncio.sleep(0)
    assert not unwanted.done()
    follower.close()
    await unwanted
    assert not over.done()
    recording.end()
    await over


async def test_a_replay_comes_in_pieces_that_a_slow_caller_can_take() -> None:
    events = b"x" * (2 * PIECE_BYTES + 5)
    answer = Replayed(Outcome("req_1", events=events))
    assert answer.body is None
    pieces = [await answer.read() for _ in range(4)]
    assert list(map(len, pieces)) == [PIECE_BYTES, PIECE_BYTES, 5, 0]
    again = Replayed(Outcome("req_1", events=events))
    again.close()
    assert await again.read() == b""
