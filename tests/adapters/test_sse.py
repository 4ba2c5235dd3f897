"""Server-sent events by the WHATWG rules, whatever the line ends and however the bytes were cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import FailedStream
from adapters.sse import EVENT_KEPT_BYTES, EventSplitter, read_event


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    rest = splitter.rest()
    return [*events, rest] if rest else events


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\rdata: b\n\r\n", [("", b"a"), ("", b"b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data\n\n", [("", b"")]),
        (b"event: ping\nid: 7\nretry: 10\ndata: {}\n\n", [("ping", b"{}")]),
        (b"data: {}\nevent:late\n\n", [("late", b"{}")]),
        (b": a comment\n\n", [("", None)]),
        (b"nonsense: 1\ndata: a\n\n", [("", b"a")]),
        (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: no blank line", [("", b"no blank line")]),
        (b"data: a\0b\n\n", [("", b"a\0b")]),
        (b"", []),
        (b"\r\n\r\n", []),
    ],
)
def test_streams_are_read_as_the_rules_say(stream: bytes, events: list[tuple[str, bytes | None]]) -> None:
    assert [read_event(event) for event in split([stream])] == events


LINES = st.lists(
    st.sampled_from([b"data: {}", b"data:x", b"data", b": hi", b"event: a", b"id: 1", b"", b"", b"\xc3\xa9", b"\0"]),
    max_size=12,
)


@given(
    lines=LINES,
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    places=st.lists(st.integers(0, 200), max_size=8),
    marked=st.booleans(),
)
def test_neither_cuts_nor_line_ends_change_the_events(
    lines: list[bytes], line_end: bytes, places: list[int], *, marked: bool
) -> None:
    whole = split([b"\n".join(lines)])
    stream = b"\xef\xbb\xbf" * marked + line_end.join(lines)
    assert split(cut(stream, places)) == whole


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_any_bytes_come_out_the_same_however_they_were_cut(stream: bytes, places: list[int]) -> None:
    assert split(cut(stream, places)) == split([stream])


@pytest.mark.parametrize("step", [1024, 1 << 20, 1 << 24])
def test_an_event_of_a_megabyte_passes_and_one_beyond_the_bound_does_not(step: int) -> None:
    large = b"data: " + b"x" * (1 << 20) + b"\n\n"
    assert split([large[at : at + step] for at in range(0, len(large), step)]) == [large]
    too_large = b"data: " + b"x" * EVENT_KEPT_BYTES + b"\n\n"
    with pytest.raises(FailedStream, match="larger than"):
        split([too_large[at : at + step] for at in range(0, len(too_large), step)])


def test_bytes_that_come_one_by_one_make_one_event() -> None:
    splitter = EventSplitter()
    stream = b"data: " + b"x" * 200_000 + b"\n\n"
    events = [event for at in range(len(stream)) for event in splitter.feed(stream[at : at + 1])]
    assert events == [stream]


def test_events_before_one_that_is_too_large_are_not_lost() -> None:
    events = iter(EventSplitter().feed(b"data: a\n\ndata: " + b"x" * EVENT_KEPT_BYTES))
    assert next(events) == b"data: a\n\n"
    with pytest.raises(FailedStream):
        next(events)
