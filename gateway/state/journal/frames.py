"""The journal's bytes: a segment is a heading and then frames, each holding one ledger row as an intent or an outcome.

A frame is length, checksum and payload; the payload is one byte for the kind and the row as a MessagePack array. The
checksum is zlib's CRC-32, begun at the length so that both are covered: it is in the standard library, takes a fifth of
a microsecond for a row, and finds every flipped bit and every burst of up to 32 as CRC-32C would. Columns are only ever
added at a row's end, so rows of an older Pointsman are read by filling up what they lack.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

import msgspec

from gateway.state.ledger.schema import LedgerRow

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADING: Final = b"pointsman journal 1\n"
LONGEST_PAYLOAD_BYTES: Final = 1 << 20
_COLUMNS: Final = len(LedgerRow._fields)

_FRONT: Final = struct.Struct("<II")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[str | int | None]).decode


class Kind(IntEnum):
    """What a frame says of its attempt."""

    INTENT = 1  # it is about to be sent; this is its row if nothing more is ever heard of it
    OUTCOME = 2  # it is over; this is its row


class Frame(NamedTuple):
    kind: Kind
    row: LedgerRow


class DamagedSegment(Exception):  # noqa: N818 - it says what is wrong
    """No whole frame begins at byte `position`: the write was torn there, or the disk has changed it since."""

    def __init__(self, position: int) -> None:
        super().__init__(f"no whole frame at byte {position}")
        self.position = position


class ForeignSegment(Exception):  # noqa: N818 - it says what is wrong
    """Not a segment that this Pointsman can read: another kind of file, or a newer version's."""


_INTENT: Final = bytes([Kind.INTENT])
_OUTCOME: Final = bytes([Kind.OUTCOME])


def intent_frame(row: LedgerRow) -> bytes:
    """Raises `OverflowError` or `UnicodeError` for a row that holds what no ledger can."""
    payload = _INTENT + _encode(row)
    return _FRONT.pack(len(payload), crc32(payload, len(payload))) + payload


def outcome_frame(row: LedgerRow) -> bytes:
    """Raises as `intent_frame` does."""
    payload = _OUTCOME + _encode(row)
    return _FRONT.pack(len(payload), crc32(payload, len(payload))) + payload


def frames(data: bytes | memoryview) -> Iterator[Frame]:
    """The frames of a run of bytes that begins with one. Raises `DamagedSegment` at the first that is not whole."""
    view, position = memoryview(data), 0
    while position < len(view):
        start = position + _FRONT.size
        if start > len(view):
            raise DamagedSegment(position)
        length, checksum = _FRONT.unpack_from(view, position)
        payload = view[start : start + length]
        # Length 0 has the checksum 0, which is what a file system leaves of a write that a power cut undid.
        if not 0 < length <= LONGEST_PAYLOAD_BYTES or len(payload) < length or crc32(payload, length) != checksum:
            raise DamagedSegment(position)
        yield _frame(payload, position)
        position = start + length


def body_of(segment: bytes) -> memoryview:
    """The frames' bytes of a whole segment, none where its heading was torn. Raises `ForeignSegment`."""
    if segment[: len(HEADING)] != HEADING[: len(segment)]:
        raise ForeignSegment("it is no journal of this version of Pointsman")
    return memoryview(segment)[len(HEADING) :]


def _frame(payload: memoryview, position: int) -> Frame:
    try:
        values = _decode(payload[1:])
        kind = Kind(payload[0])
    except (msgspec.MsgspecError, ValueError) as error:
        raise DamagedSegment(position) from error
    if len(values) > _COLUMNS:
        raise ForeignSegment("a newer Pointsman wrote it")
    return Frame(kind, LedgerRow._make(values + [None] * (_COLUMNS - len(values))))
