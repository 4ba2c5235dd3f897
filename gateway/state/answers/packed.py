"""Entries as they stand on Redis, and what of it is believed: a value that was put there by somebody else is no entry.

An entry is msgpack, sealed where a key is configured. It is read strictly, and is one only if it says itself whose it
is, what it answers and until when.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.state.answers.soundness import is_sound
from gateway.state.answers.store import Entry, Kept, Record
from gateway.state.answers.vector_store import place_of, shelf_of

if TYPE_CHECKING:
    from gateway.state.answers.sealing import Sealing
    from policies.cache_rules import Level

COUNT_DIGITS_MAX: Final = 15
ENTRY_BYTES: Final = 1_400
VECTOR_BYTES: Final = 1_100
"""What an entry takes on Redis besides its value, and a vector of the bundled embedder: measured, about."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Entry).decode


class Packed(NamedTuple):
    """An entry on its way: the value, what the scripts know of it, and its size."""

    value: bytes
    known: bytes
    size_bytes: int
    shelf: str


class Packing:
    """Both ways; `sealing` None: in clear."""

    def __init__(self, sealing: Sealing | None = None) -> None:
        self._sealing = sealing

    def pack(self, entry: Entry, *, has_vector: bool) -> Packed:
        value = _encode(entry)
        if self._sealing is not None:
            value = self._sealing.seal(entry.owner, value, entry.id)
        size = ENTRY_BYTES + len(value) + (VECTOR_BYTES if has_vector else 0)
        shelf = shelf_of(place_of(entry)).name if has_vector else ""
        exact, near = self.name_of(entry.owner, entry.exact), self.name_of(entry.owner, entry.near)
        stored, ends = int(entry.stored_at_s * 1000), int(entry.expires_at_s * 1000)
        known = _encode((size, stored, ends, exact, near, shelf, entry.route, entry.tags))
        return Packed(value, known, size, shelf)

    def name_of(self, owner: str, digest: bytes) -> str:
        """A digest as it stands in a key; empty for none."""
        if digest and self._sealing is not None:
            digest = self._sealing.digest(owner, digest)
        return urlsafe_b64encode(digest).decode()

    def unpacked(
        self,
        owner: str,
        entry_id: str,
        said: Any,  # noqa: ANN401 - an answer as it came
        level: Level | None = None,
    ) -> Kept | None:
        """None for what is not this owner's entry of that id. `said`: the value, hits, good, bad."""
        try:
            value, hits, good, bad = said[:4]
            if self._sealing is not None:
                value = self._sealing.open(owner, value, entry_id)
            entry = _decode(value)
            record = Record(_count(hits), _count(good), _count(bad))
        except (ValueError, TypeError, msgspec.MsgspecError):
            return None
        is_meant = entry.owner == owner and entry.id == entry_id and is_sound(entry)
        return Kept(entry, record, level) if is_meant else None


def _count(said: bytes | None) -> int:
    """Raises ValueError for what is no count."""
    if said is None:
        return 0
    if len(said) > COUNT_DIGITS_MAX or not said.isdigit():
        raise ValueError("not a count")
    return int(said)
