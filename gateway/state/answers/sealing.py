"""Sealing of entries for what lies outside this process, a file or Redis, so that the operator's key alone opens them.

AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) makes of the operator's for each owner. Owner and id are bound to
what is sealed, so that no entry can stand in another's place. Digests are looked up and so not sealed, but keyed where
they leave the process: whoever reads a plain hash of a short question can guess the question.

Keys rotate: the first of a list seals, any of it opens, and the last keys digests. So a new key goes before the old
one, which goes when the longest time to live has passed.
"""

from __future__ import annotations

import hmac
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.errors import StartError
from gateway.extras import ENCRYPTION, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_CHARS_MIN: Final = 16
OWNERS_REMEMBERED: Final = 1_024
_VERSION: Final = b"\x01"
_NAME: Final = slice(1, 5)  # of the key
_NONCE: Final = slice(5, 17)
_SEALED: Final = 17


class SealBroken(ValueError):  # noqa: N818 - it says what is wrong
    """Sealed with a key that is not here, or for another owner or entry, or changed since, or never sealed."""


class Sealing:
    """`keys` are the operator's, newest first. Any thread may use it. Raises `MissingExtra`, and `StartError` for a key
    that is too short, or none.

    `refused` counts what did not open.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or any(len(key) < KEY_CHARS_MIN for key in keys):
            raise StartError(f"the cache's encryption key has fewer than {KEY_CHARS_MIN} characters")
        require(ENCRYPTION)
        self.refused = 0
        extracted = [hmac.digest(b"pointsman answers 1", key.encode(), "sha256") for key in keys]
        self._masters = {_expand(master, b"name", 4): master for master in reversed(extracted)}
        self._first = _expand(extracted[0], b"name", 4)
        self._digest_key = _expand(extracted[-1], b"digest")
        self._cipher = lru_cache(OWNERS_REMEMBERED)(self._cipher_of)

    def seal(self, owner: str, opened: bytes, entry_id: str = "") -> bytes:
        head = _VERSION + self._first + os.urandom(12)
        return head + self._cipher(self._first, owner).encrypt(head[_NONCE], opened, _bound(owner, entry_id))

    def open(self, owner: str, sealed: bytes, entry_id: str = "") -> bytes:
        """What was sealed for that owner and entry. Raises `SealBroken`, and counts it."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        name = bytes(sealed[_NAME])
        if sealed[:1] == _VERSION and name in self._masters and len(sealed) > _SEALED:
            try:
                cipher = self._cipher(name, owner)
                return cipher.decrypt(sealed[_NONCE], sealed[_SEALED:], _bound(owner, entry_id))
            except InvalidTag:
                pass
        self.refused += 1
        raise SealBroken("it does not open with the keys at hand")

    def digest(self, owner: str, digest: bytes) -> bytes:
        """What stands for an owner's digest outside this process; 32 bytes."""
        return hmac.digest(self._digest_key, owner.encode() + b"\x00" + digest, "sha256")

    def _cipher_of(self, name: bytes, owner: str) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra

        return AESGCM(_expand(self._masters[name], b"owner " + owner.encode()))


def _bound(owner: str, entry_id: str) -> bytes:
    return owner.encode() + b"\x00" + entry_id.encode()


def _expand(extracted: bytes, purpose: bytes, length: int = 32) -> bytes:
    """HKDF's second half, for up to one block."""
    return hmac.digest(extracted, purpose + b"\x01", "sha256")[:length]
