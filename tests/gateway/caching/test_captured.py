"""What passes through is what came, and it is kept only when all of it has honestly come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.base import Tally
from adapters.cache_folding import fold
from gateway.caching.captured import Captured, Taken, captured
from policies.vocabulary import Endpoint
from tests.gateway.repeated_calls import Streamed, Whole

if TYPE_CHECKING:
    from gateway.upstream import Answer

STREAM = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"Gr\xc3\xbc\xc3\x9fe"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


class Kept:
    def __init__(self) -> None:
        self.taken: list[Taken | None] = []

    def __call__(self, taken: Taken | None) -> None:
        self.taken.append(taken)


async def read_all(answer: Answer) -> bytes:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)


async def test_a_whole_answer_is_kept_at_once_and_stays_itself() -> None:
    answer, kept = Whole(b"{}"), Kept()

    assert captured(answer, 2, kept) is answer
    assert kept.taken == [Taken(b"{}", is_events=False, headers=answer.headers, tally=answer.tally)]


async def test_a_whole_answer_that_is_too_long_is_not_kept() -> None:
    kept = Kept()

    captured(Whole(b"{ }"), 2, kept)

    assert kept.taken == [None]


async def test_a_stream_is_kept_at_its_end_however_it_was_cut() -> None:
    expected = fold(Endpoint.CHAT, STREAM)
    for cut in range(1, len(STREAM)):
        stream, kept = Streamed(), Kept()
        for piece in (STREAM[:cut], STREAM[cut:], None):
            stream.pieces.put_nowait(piece)
        answer = captured(stream, len(STREAM), kept)

        assert await read_all(answer) == STREAM
        [taken] = kept.taken
        assert taken is not None
        assert taken.is_events
        assert fold(Endpoint.CHAT, taken.body) == expected


async def test_it_is_told_once() -> None:
    stream, kept = Streamed(), Kept()
    stream.pieces.put_nowait(None)
    stream.pieces.put_nowait(None)
    answer = captured(stream, 9, kept)

    await answer.read()
    await answer.read()
    answer.close()

    assert len(kept.taken) == 1
    assert stream.closed == 1


async def test_a_stream_that_is_too_long_passes_and_is_forgotten() -> None:
    stream, kept = Streamed(), Kept()
    for piece in (b"abc", b"d", b"e", None):
        stream.pieces.put_nowait(piece)
    answer = captured(stream, 3, kept)

    assert await read_all(answer) == b"abcde"
    assert kept.taken == [None]


@pytest.mark.parametrize("leaves", [True, False])
async def test_one_that_breaks_or_is_left_is_not_told(leaves: bool) -> None:  # noqa: FBT001 - both ways
    stream, kept = Streamed(), Kept()
    stream.pieces.put_nowait(b"abc")
    stream.pieces.put_nowait(ValueError("broken") if not leaves else None)
    answer = captured(stream, 9, kept)

    await answer.read()
    if leaves:
        answer.close()
        await answer.read()
    else:
        with pytest.raises(ValueError, match="broken"):
            await answer.read()
    answer.close()

    assert kept.taken == []


async def test_one_of_which_something_was_lost_is_not_kept() -> None:
    stream, kept = Streamed(), Kept()
    stream.tally.damaged_events = 1
    stream.pieces.put_nowait(None)

    await captured(stream, 9, kept).read()

    assert kept.taken == [None]


async def test_the_tally_is_that_of_who_answers_now() -> None:
    stream = Streamed()
    answer = captured(stream, 9, Kept())
    stream.tally = Tally(model="other")
    stream.pieces.put_nowait(b"a")

    await answer.read()

    assert isinstance(answer, Captured)
    assert answer.tally.model == "other"
