from __future__ import annotations

from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.journal import frames as journal_frames
from gateway.state.journal.frames import (
    HEADING,
    DamagedSegment,
    ForeignSegment,
    Frame,
    Kind,
    body_of,
    frames,
    intent_frame,
    outcome_frame,
)
from gateway.state.ledger.schema import LedgerRow

WIDTH = len(LedgerRow._fields)
VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ROWS = st.lists(VALUES, min_size=WIDTH, max_size=WIDTH).map(LedgerRow._make)
FRAMES = st.lists(st.tuples(st.sampled_from(Kind), ROWS).map(Frame._make), max_size=4)


def encoded(written: list[Frame]) -> bytes:
    return b"".join(intent_frame(row) if kind is Kind.INTENT else outcome_frame(row) for kind, row in written)


def read(data: bytes) -> tuple[list[Frame], int | None]:
    """What can be read, and where that ends too early."""
    found = []
    try:
        for frame in frames(data):
            found.append(frame)  # noqa: PERF402 - keeps what came before the damage
    except DamagedSegment as damage:
        return found, damage.position
    return found, None


@given(FRAMES)
def test_what_was_written_is_read(written: list[Frame]) -> None:
    assert read(encoded(written)) == (written, None)


@given(FRAMES, st.data())
def test_bytes_torn_off_anywhere_leave_the_frames_before(written: list[Frame], data: st.DataObject) -> None:
    whole = encoded(written)
    torn = data.draw(st.integers(0, len(whole)))
    found, damage = read(whole[:torn])
    assert found == written[: len(found)]
    intact = len(encoded(found))
    assert damage == (None if intact == torn else intact)
    assert torn < len(encoded(written[: len(found) + 1])) or len(found) == len(written)


def test_torn_at_every_byte() -> None:
    row = LedgerRow._make(["r", 1, *[None] * (WIDTH - 2)])
    written = [Frame(Kind.INTENT, row), Frame(Kind.OUTCOME, row._replace(outcome="ok"))]
    whole, first = encoded(written), len(encoded(written[:1]))
    for torn in range(len(whole)):
        found, damage = read(whole[:torn])
        assert found == written[: torn >= first]
        assert damage == (None if torn in (0, first) else first * (torn >= first))


@given(FRAMES.filter(bool), st.data())
def test_a_flipped_bit_is_detected_and_what_is_before_it_stays(written: list[Frame], data: st.DataObject) -> None:
    changed = bytearray(encoded(written))
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    found, damage = read(bytes(changed))
    assert damage is not None
    assert damage <= bit // 8
    assert found == written[: len(found)]


def test_zeros_that_a_power_cut_left_are_no_frames() -> None:
    assert read(bytes(64)) == ([], 0)


def test_a_length_beyond_reason_is_damage() -> None:
    assert read(b"\xff\xff\xff\x7f" + bytes(100)) == ([], 0)


def test_what_is_whole_but_no_row_is_damage() -> None:
    for payload in (b"\x01\xc1", b"\x09\x90", b"\x01"):
        forged = len(payload).to_bytes(4, "little") + crc32(payload, len(payload)).to_bytes(4, "little") + payload
        assert read(forged) == ([], 0)


def test_rows_with_fewer_columns_are_filled_up_and_with_more_refused() -> None:
    def frame(values: list[object]) -> bytes:
        payload = b"\x02" + msgspec.msgpack.encode(values)
        return journal_frames._FRONT.pack(len(payload), crc32(payload, len(payload))) + payload

    (found,), _ = read(frame(["r", 1]))
    assert found == Frame(Kind.OUTCOME, LedgerRow._make(["r", 1, *[None] * (WIDTH - 2)]))
    with pytest.raises(ForeignSegment, match="newer"):
        list(frames(frame([1] * (WIDTH + 1))))


@pytest.mark.parametrize("value", [2**80, "\ud800"])
def test_what_no_ledger_can_hold_is_no_frame(value: int | str) -> None:
    row = LedgerRow._make([value, *[1] * (WIDTH - 1)])
    for make in (intent_frame, outcome_frame):
        with pytest.raises((OverflowError, UnicodeError)):
            make(row)


def test_a_segment_begins_with_its_version() -> None:
    assert bytes(body_of(HEADING + b"rest")) == b"rest"
    assert bytes(body_of(b"")) == b""
    assert bytes(body_of(HEADING[:5])) == b""
    for other in (b"SQLite format 3\0", HEADING.replace(b"1", b"2"), b"x"):
        with pytest.raises(ForeignSegment):
            body_of(other)
