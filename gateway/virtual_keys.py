"""Virtual keys: what callers hold, how one is made, checked offline, and turned into a principal.

`sk-pm-<env>_<public id, 12>_<secret, 32>_<CRC32, 6>`, the last three in base62. The prefix lets scanners find a leaked
key, the checksum tells a typo from a revoked key without asking anyone, the public id may be shown and logged.
The secret is 190 bits of randomness, so a fast hash protects it; the pepper makes a stolen table of hashes worthless.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from zlib import crc32

from policies.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.secret import Secret
    from policies.vocabulary import Limit

PREFIX: Final = "sk-pm-"
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_ID_CHARS: Final = 12
SECRET_CHARS: Final = 32
CHECKSUM_CHARS: Final = 6
LENGTH_MAX: Final = 512
FREE_FORM_CHARS_MIN: Final = 20

ENV: Final = re.compile(r"[a-z0-9]{1,16}")
_TOKEN: Final = re.compile(r"sk-pm-[a-z0-9]{1,16}_([0-9A-Za-z]{12})_[0-9A-Za-z]{32}_([0-9A-Za-z]{6})")
# Counted from the end, since the environment's name before it has any length.
_PUBLIC_ID: Final = slice(-52, -40)
_BLOCK_BYTES: Final = 64
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)


class Refusal(StrEnum):
    """Why a presented key yields no principal. Callers and the log hear of `EXPIRED`, else that the key is wrong."""

    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    CHECKSUM = "checksum"
    EXPIRED = "expired"


class Chooser(Protocol):
    """Where randomness comes from: the `secrets` module, or a seeded `random.Random` in a test."""

    def choice(self, seq: Sequence[str], /) -> str: ...


class HeldKey(NamedTuple):
    """One key that the gateway accepts. `expires_s` is in seconds since the epoch, None for never."""

    secret: Secret
    name: str
    team: str | None = None
    user: str | None = None
    routes: frozenset[str] | None = None
    expires_s: float | None = None
    org: str = "default"
    tags: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    output_tokens_default: int | None = None


class _Record(NamedTuple):
    mac: bytes
    principal: Principal
    expires_s: float


def generate(env: str, rng: Chooser = secrets) -> str:
    """A fresh key for the environment `env` (`live`, `test`, ...). Raises `ValueError` for a name no key can hold."""
    if not ENV.fullmatch(env):
        raise ValueError("an environment's name is 1 to 16 lower-case letters and digits")
    public, secret = (
        "".join(rng.choice(ALPHABET) for _ in range(length)) for length in (PUBLIC_ID_CHARS, SECRET_CHARS)
    )
    stem = f"{PREFIX}{env}_{public}_{secret}"
    return f"{stem}_{checksum(stem)}"


def checksum(stem: str) -> str:
    """Six base62 digits of the CRC32 of all that stands before the last underscore."""
    rest, low = divmod(crc32(stem.encode()), 3844)
    high, middle = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def check(key: str) -> Refusal | None:
    """What is wrong with a key in our format, offline: None, `MALFORMED` or `CHECKSUM`."""
    found = _TOKEN.fullmatch(key)
    if found is None:
        return Refusal.MALFORMED
    return None if found[2] == checksum(key[:-7]) else Refusal.CHECKSUM


def public_id(key: str) -> str | None:
    """The part of a key in our format that may be shown; None for any other key."""
    found = _TOKEN.fullmatch(key)
    return found[1] if found else None


class Hmac:
    """HMAC-SHA256 under one key (RFC 2104), its two padded key blocks hashed once: half the cost of `hmac.digest`."""

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class KeyRing:
    """The keys of one policy, as MACs. It keeps no key and gives none back.

    `pepper` is the MAC's key. Keys in the policy file need no lasting one, since the file holds them anyway: a random
    pepper per process serves. It then differs between processes, and so does the `key_id` of a free-form key, which is
    the beginning of its MAC; `key_name` stays. A configured pepper keeps both.
    """

    def __init__(self, keys: Iterable[HeldKey], pepper: bytes) -> None:
        self._mac = Hmac(pepper)
        self._by_public_id: dict[str, _Record] = {}
        self._by_mac: dict[bytes, _Record] = {}
        # What a miss is compared with, so that it takes as long as a hit: no key has this MAC.
        self._nobody = _Record(secrets.token_bytes(32), Principal("", ""), 0.0)
        for key in keys:
            self._hold(key)

    def __len__(self) -> int:
        return len(self._by_public_id) + len(self._by_mac)

    def _hold(self, key: HeldKey) -> None:
        secret = key.secret.reveal()
        mac = self._mac.digest(secret.encode())
        public = public_id(secret)
        principal = Principal(
            key_id=public or mac.hex()[:PUBLIC_ID_CHARS],
            key_name=key.name,
            team=key.team,
            user=key.user,
            routes=key.routes,
            org=key.org,
            tags=key.tags,
            limits=key.limits,
            output_tokens_default=key.output_tokens_default,
        )
        record = _Record(mac, principal, float("inf") if key.expires_s is None else key.expires_s)
        if public is not None:
            self._by_public_id[public] = record
        else:
            self._by_mac[mac] = record

    def identify(self, presented: str, now: float) -> Principal | Refusal:
        """Who holds this key at `now` (seconds since the epoch), or why nobody does."""
        if not 0 < len(presented) <= LENGTH_MAX or not presented.isascii() or not presented.isprintable():
            return Refusal.MALFORMED
        mac = self._mac.digest(presented.encode())
        if presented.startswith(PREFIX):
            # The form is looked at afterwards, and only to say what is wrong: a MAC that agrees has said all.
            record = self._by_public_id.get(presented[_PUBLIC_ID], self._nobody)
        else:
            record = self._by_mac.get(mac, self._nobody)
        if hmac.compare_digest(record.mac, mac):
            return record.principal if now < record.expires_s else Refusal.EXPIRED
        return (check(presented) if presented.startswith(PREFIX) else None) or Refusal.UNKNOWN
