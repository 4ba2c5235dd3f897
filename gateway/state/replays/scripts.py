"""The shared store's operations as scripts that Redis runs, and what stands in an entry as bytes.

C FINGERPRINT OWNER          claimed: 32 bytes of SHA-256, 16 that no other claim has
K FINGERPRINT ID [OUTCOME]   kept: the call's id in 64 bytes, then the outcome as msgpack while there is room for it
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final, NamedTuple

import msgspec

from gateway.state.redis.scripts import VERSION, Script, tag_of
from gateway.state.replays.store import Busy, Kept, Outcome

OPERATIONS: Final = ("claim", "renew", "release", "keep")
FINGERPRINT: Final = slice(1, 33)
ID: Final = slice(33, 97)
MARK_BYTES: Final = 97

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Outcome).decode


class Scripts(NamedTuple):
    """All operations, one script each."""

    claim: Script
    renew: Script
    release: Script
    keep: Script


class Keys(NamedTuple):
    """Of one slot: its entry, and what all entries of its tenant share. One hash tag keeps them together."""

    entry: bytes
    kept: bytes
    spent: bytes
    bytes_: bytes


def _script(name: str) -> Script:
    text = (resources.files("gateway.state.replays") / "replay_scripts" / f"{name}.lua").read_bytes()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


SCRIPTS: Final = Scripts(*(_script(name) for name in OPERATIONS))


def keys_of(namespace: str, tenant: str, name: str) -> Keys:
    prefix = f"{namespace}:{VERSION}:{{{tag_of(tenant)}}}:replay:"
    return Keys(*(f"{prefix}{end}".encode() for end in (f"e:{name}", "kept", "spent", "bytes")))


def claim_of(fingerprint: bytes, owner: bytes) -> bytes:
    return b"C" + fingerprint + owner


def entry_of(kept: Kept) -> bytes:
    mark = b"K" + kept.fingerprint + kept.outcome.request_id.encode()[:64].ljust(64)
    return mark if kept.outcome.is_spent else mark + _encode(kept.outcome)


def found_in(entry: bytes) -> Busy | Kept:
    """Raises ValueError for what no store of this version wrote."""
    fingerprint = entry[FINGERPRINT]
    if entry[:1] == b"C":
        return Busy(fingerprint)
    if entry[:1] != b"K" or len(entry) < MARK_BYTES:
        raise ValueError("not an entry")
    if len(entry) == MARK_BYTES:
        return Kept(fingerprint, Outcome(entry[ID].decode().rstrip()))
    return Kept(fingerprint, _decode(entry[MARK_BYTES:]))
