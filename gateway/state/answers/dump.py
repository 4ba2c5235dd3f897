"""Entries as lines of JSON, for moving them between stores: a heading, then one entry a line.

    {"pointsman_cache": 1, "embedder": "minilm-l6-int8", "exported_at_s": 1800000000.0}
    {"id": "ce_...", "owner": "team:acme/search", ..., "body": "eyJ...", "record": [3, 1, 0], "vector": "AAB..."}

Bytes are base64; a vector is half precision and may be absent. A line is anybody's until it has been read: one that is
no entry is refused with its number, and the lines after it are read all the same.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.state.answers.snapshot_rows import Loaded
from gateway.state.answers.soundness import BODY_BYTES_MAX, is_sound, is_sound_record
from gateway.state.answers.store import Entry, Record, Used
from gateway.state.answers.vector_bytes import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import Kept

VERSION: Final = 1
LINE_BYTES_MAX: Final = BODY_BYTES_MAX * 3 // 2


class NotADump(ValueError):  # noqa: N818 - it says what is wrong
    """The first line is no heading of this version."""


class Heading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`embedder` is the id of the one that was in use; each entry names its own."""

    pointsman_cache: int
    embedder: str = ""
    exported_at_s: float = 0.0


class Refused(NamedTuple):
    """A line that is no entry; the first has the number 1. `why` says nothing of what stands in it."""

    number: int
    why: str


class _Used(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An `Entry` with names for its parts, its record and its vector."""

    id: str
    owner: str
    route: str
    scope: bytes
    exact: bytes
    endpoint: str
    body: bytes
    model: str
    deployment: str
    stored_at_s: float
    expires_at_s: float
    near: bytes = b""
    question: str = ""
    is_events: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    used: _Used = _Used()
    tags: tuple[str, ...] = ()
    request_id: str = ""
    embedder: str = ""
    record: Record = Record()
    vector: bytes = b""


_encode: Final = msgspec.json.Encoder().encode
_decode_heading: Final = msgspec.json.Decoder(Heading).decode
_decode_line: Final = msgspec.json.Decoder(_Line).decode
_BESIDE: Final = frozenset({"record", "used", "vector"})
_PARTS: Final = tuple(name for name in _Line.__struct_fields__ if name not in _BESIDE)


def heading_line(embedder: str, now_s: float) -> bytes:
    return _encode(Heading(VERSION, embedder, now_s)) + b"\n"


def entry_line(kept: Kept, vector: Vector | None) -> bytes:
    """Raises ValueError for text that is no Unicode."""
    entry = kept.entry
    used = _Used(*(getattr(entry.used, name) for name in Used.__struct_fields__))
    packed = b"" if vector is None else to_bytes(vector)
    parts = {name: getattr(entry, name) for name in _PARTS}
    return _encode(_Line(**parts, used=used, record=kept.record, vector=packed)) + b"\n"


def read_heading(file: IO[bytes]) -> Heading:
    """Raises `NotADump`."""
    try:
        heading = _decode_heading(file.readline(LINE_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise NotADump("the first line is not the heading of an exported cache") from error
    if heading.pointsman_cache != VERSION:
        raise NotADump(f"it is of version {heading.pointsman_cache}, this Pointsman reads {VERSION}")
    return heading


def read_entries(file: IO[bytes]) -> Iterator[Loaded | Refused]:
    """All after the heading."""
    number = 1
    while line := file.readline(LINE_BYTES_MAX):
        number += 1
        if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            yield Refused(number, "it is too long")
            _skip_rest(file)
        elif line.strip():
            yield _read(line, number)


def _read(line: bytes, number: int) -> Loaded | Refused:
    try:
        read = _decode_line(line)
    except (ValueError, RecursionError):
        return Refused(number, "it is no JSON of an entry")
    used = Used(*(getattr(read.used, name) for name in Used.__struct_fields__))
    entry = Entry(**{name: getattr(read, name) for name in _PARTS}, used=used)
    if not is_sound(entry) or not is_sound_record(read.record):
        return Refused(number, "a part of it is not of an entry's shape or size")
    vector = from_bytes(read.vector) if read.vector else None
    return Loaded(entry, read.record, vector)


def _skip_rest(file: IO[bytes]) -> None:
    while part := file.readline(LINE_BYTES_MAX):
        if part.endswith(b"\n"):
            return
