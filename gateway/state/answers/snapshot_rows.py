"""Entries as rows of the snapshot's file, and what of a row is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

import msgspec

from gateway.state.answers.soundness import BODY_BYTES_MAX, COUNT_MAX, is_sound, is_sound_record
from gateway.state.answers.store import Entry, Record
from gateway.state.answers.vector_bytes import from_bytes, to_bytes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from gateway.embedding.embedder import Vector
    from gateway.state.answers.sealing import Sealing

SLICE_ROWS: Final = 64
LEARNT_MAX: Final = 10_000
LEARNT_BYTES_MAX: Final = 1 << 20
_KEEP: Final = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)"
_NOTE: Final = "UPDATE answers SET hits = ?, good = ?, bad = ? WHERE id = ?"
_DROP: Final = "DELETE FROM answers WHERE id = ?"
_LEARN: Final = "INSERT OR REPLACE INTO learnt VALUES (?, ?)"
_LEARNT: Final = "SELECT name, state FROM learnt WHERE length(state) <= ? LIMIT ?"
_SLICE: Final = (
    "SELECT rowid, id, owner, entry, hits, good, bad FROM answers"
    " WHERE rowid < ? AND expires_at_s > ? AND length(entry) <= ? ORDER BY rowid DESC LIMIT ?"
)
_EXPIRE: Final = "DELETE FROM answers WHERE expires_at_s <= ?"
LAST: Final = (1 << 63) - 1
"""No row has a higher number."""


class Loaded(NamedTuple):
    """An entry with all that is known of it."""

    entry: Entry
    record: Record
    vector: Vector | None = None


Change = Loaded | Record | None
"""What became of an entry: it was kept, something became of its answers, it is gone."""


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    entry: Entry
    vector: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Packed).decode


class Rows:
    """Of one connection; with `sealing`, entries are sealed for their owners. Methods raise `sqlite3.Error`."""

    def __init__(self, connection: sqlite3.Connection, sealing: Sealing | None = None) -> None:
        self._connection = connection
        self._sealing = sealing

    def write(self, changes: Mapping[str, Change], learnt: Mapping[str, bytes]) -> None:
        """All of it or nothing."""
        run, many = self._connection.execute, self._connection.executemany
        run("BEGIN IMMEDIATE")
        try:
            many(_DROP, [(name,) for name, change in changes.items() if change is None])
            many(_KEEP, self._packed(change for change in changes.values() if isinstance(change, Loaded)))
            noted = [(name, change) for name, change in changes.items() if isinstance(change, Record)]
            many(_NOTE, [(*_counts(change), name) for name, change in noted])
            many(_LEARN, list(learnt.items()))
            run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise

    def slice(self, before: int, now_s: float) -> tuple[list[Loaded], int]:
        """The next rows, newest first, and the number to go on before; that is 0 when there are no more."""
        rows = self._connection.execute(_SLICE, (before, now_s, BODY_BYTES_MAX, SLICE_ROWS)).fetchall()
        found = [loaded for row in rows if (loaded := self._unpacked(row)) is not None]
        return found, rows[-1][0] if len(rows) == SLICE_ROWS else 0

    def learnt(self) -> dict[str, bytes]:
        rows = self._connection.execute(_LEARNT, (LEARNT_BYTES_MAX, LEARNT_MAX)).fetchall()
        return {name: state for name, state in rows if isinstance(name, str) and isinstance(state, bytes)}

    def expire(self, now_s: float) -> None:
        self._connection.execute(_EXPIRE, (now_s,))

    def close(self) -> None:
        self._connection.close()

    def _packed(self, kept: Iterable[Loaded]) -> Iterable[tuple[str, str, float, bytes, int, int, int]]:
        for loaded in kept:
            entry = loaded.entry
            try:
                packed = _encode(_Packed(entry, b"" if loaded.vector is None else to_bytes(loaded.vector)))
                if self._sealing is None:
                    packed = crc32(packed).to_bytes(4) + packed  # SQLite does not notice a byte that a disk changed
                else:
                    packed = self._sealing.seal(entry.owner, packed, entry.id)
            except (ValueError, OverflowError):
                continue  # text that is no Unicode, a number beyond all measure: what cannot be kept is not kept
            yield entry.id, entry.owner, entry.expires_at_s, packed, *_counts(loaded.record)

    def _unpacked(self, row: tuple[object, ...]) -> Loaded | None:
        _, name, owner, packed, hits, good, bad = row
        if not (isinstance(name, str) and isinstance(owner, str) and isinstance(packed, bytes)):
            return None
        try:
            opened = _checked(packed) if self._sealing is None else self._sealing.open(owner, packed, name)
            found = _decode(opened)
            record = msgspec.convert((hits, good, bad), Record)
        except (ValueError, RecursionError):
            return None
        entry = found.entry
        is_itself = entry.id == name and entry.owner == owner and is_sound(entry) and is_sound_record(record)
        return Loaded(entry, record, from_bytes(found.vector) if found.vector else None) if is_itself else None


def _checked(packed: bytes) -> bytes:
    """Raises ValueError."""
    if crc32(packed[4:]).to_bytes(4) != packed[:4]:
        raise ValueError("changed since it was written")
    return packed[4:]


def _counts(record: Record) -> tuple[int, int, int]:
    return min(record.hits, COUNT_MAX), min(record.good, COUNT_MAX), min(record.bad, COUNT_MAX)
