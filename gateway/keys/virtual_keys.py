"""Virtual keys: what callers hold, how one is made, checked offline, and turned into a principal.

`sk-pm-<env>_<public id, 12>_<secret, 32>_<CRC32, 6>`, the last three in base62. The prefix lets scanners find a leaked
key, the checksum tells a typo from a revoked key without asking anyone, the public id may be shown and logged.
The secret is 190 bits of randomness, so a fast hash protects it; the pepper makes a stolen table of hashes worthless.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from zlib import crc32

from policies.route_rules import NO_REQUIREMENTS, Priority, Requirements
from policies.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from gateway.secret import Secret
    from policies.route_rules import Content
    from policies.vocabulary import Limit

PREFIX: Final = "sk-pm-"
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_ID_CHARS: Final = 12
SECRET_CHARS: Final = 32
LENGTH_MAX: Final = 512
FREE_FORM_CHARS_MIN: Final = 20

ENV: Final = re.compile(r"[a-z0-9]{1,16}")
_TOKEN: Final = re.compile(r"sk-pm-[a-z0-9]{1,16}_([0-9A-Za-z]{12})_[0-9A-Za-z]{32}_([0-9A-Za-z]{6})")
# Counted from the end, since the environment's name before it has any length.
PUBLIC_ID: Final = slice(-52, -40)
_BLOCK_BYTES: Final = 64
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)


class Refusal(StrEnum):
    """Why a presented key yields no principal. Callers and the log hear that the key is wrong, but for the last four:
    those are told to nobody without the secret.
    """

    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    CHECKSUM = "checksum"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    DISABLED = "disabled"
    ADDRESS = "address"


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
    requires: Requirements = NO_REQUIREMENTS
    priority: Priority = Priority.NORMAL
    vouches: bool = False
    uses_cache: bool = True
    trusts_trace: bool = False
    content: Content | None = None
    cost_in_body: bool = False


def generate(env: str, rng: Chooser = secrets, key_id: str | None = None) -> str:
    """A fresh key for the environment `env` (`live`, `test`, ...), or a fresh secret for the key of this public id.

    Raises `ValueError` for a name no key can hold.
    """
    if not ENV.fullmatch(env):
        raise ValueError("an environment's name is 1 to 16 lower-case letters and digits")
    public, secret = (
        "".join(rng.choice(ALPHABET) for _ in range(length)) for length in (PUBLIC_ID_CHARS, SECRET_CHARS)
    )
    stem = f"{PREFIX}{env}_{key_id or public}_{secret}"
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


def same_digest(one: bytes, other: bytes) -> bool:
    """In time that says nothing about where they differ."""
    return hmac.compare_digest(one, other)


class Digest(NamedTuple):
    """What one secret of a key must come to under `mac`, and until when it may be used (seconds since the epoch)."""

    mac: Hmac
    value: bytes
    expires_s: float = math.inf


class Entry(NamedTuple):
    """A key as it is checked. `former` is the secret before the last rotation, or one that nothing comes to: each check
    compares twice, whatever there is to find. Times are seconds since the epoch; `networks` None means any address.
    """

    principal: Principal
    newest: Digest
    former: Digest
    expires_s: float = math.inf
    not_before_s: float = 0.0
    disabled: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] | None = None


def nothing(mac: Hmac) -> Digest:
    """A digest that no key comes to."""
    return Digest(mac, secrets.token_bytes(32), 0.0)


def sound(presented: str) -> bool:
    """Whether a text could be a key of any form at all."""
    return 0 < len(presented) <= LENGTH_MAX and presented.isascii() and presented.isprintable()


def judge(
    entry: Entry, presented: str, now: float, peer: Callable[[], str], mac: bytes | None = None
) -> Principal | Refusal:
    """Whether a sound text is the key of this entry, and may be used at `now` from the address that `peer` tells.

    `mac`: the text's, under the entry's newest pepper, where it is known.
    """
    newest, former = entry.newest, entry.former
    if mac is None:
        mac = newest.mac.digest(presented.encode())
    # Another MAC is made only where a rotation has crossed from one pepper to the next.
    former_mac = mac if former.mac is newest.mac else former.mac.digest(presented.encode())
    is_newest = hmac.compare_digest(newest.value, mac)
    is_former = hmac.compare_digest(former.value, former_mac)
    if not is_newest and not is_former:
        # The form is looked at last, and only to say what is wrong: a MAC that agrees has said all.
        return (check(presented) if presented.startswith(PREFIX) else None) or Refusal.UNKNOWN
    if now >= min(entry.expires_s, newest.expires_s if is_newest else former.expires_s):
        return Refusal.EXPIRED
    if now < entry.not_before_s:
        return Refusal.NOT_YET
    if entry.disabled:
        return Refusal.DISABLED
    if entry.networks is not None and not lies_within(peer(), entry.networks):
        return Refusal.ADDRESS
    return entry.principal


def lies_within(peer: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address is in one of the networks; an IPv4 address that came in as IPv6 counts as itself."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


class KeyRing:
    """The keys of one policy, as MACs. It keeps no key and gives none back.

    `pepper` is the MAC's key. Keys in the policy file need no lasting one, since the file holds them anyway: a random
    pepper per process serves. It then differs between processes, and so does the `key_id` of a free-form key, which is
    the beginning of its MAC; `key_name` stays. A configured pepper keeps both.
    """

    required: Final = True

    def __init__(self, keys: Iterable[HeldKey], pepper: bytes) -> None:
        self._mac = Hmac(pepper)
        self._by_public_id: dict[str, Entry] = {}
        self._by_mac: dict[bytes, Entry] = {}
        # What a miss is compared with, so that it takes as long as a hit.
        self.nobody: Final = Entry(Principal("", ""), nothing(self._mac), nothing(self._mac))
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
            requires=key.requires,
            priority=key.priority,
            vouches=key.vouches,
            uses_cache=key.uses_cache,
            trusts_trace=key.trusts_trace,
            content=key.content,
            cost_in_body=key.cost_in_body,
        )
        expires_s = math.inf if key.expires_s is None else key.expires_s
        entry = Entry(principal, Digest(self._mac, mac), nothing(self._mac), expires_s)
        if public is not None:
            self._by_public_id[public] = entry
        else:
            self._by_mac[mac] = entry

    def principals(self) -> list[Principal]:
        return [entry.principal for entries in (self._by_public_id, self._by_mac) for entry in entries.values()]

    def find(self, public_id: str) -> Entry | None:
        """The entry of a key in our format."""
        return self._by_public_id.get(public_id)

    def identify(self, presented: str, now: float, peer: Callable[[], str]) -> Principal | Refusal:
        """Who holds this key at `now` (seconds since the epoch), or why nobody does."""
        if not sound(presented):
            return Refusal.MALFORMED
        if presented.startswith(PREFIX):
            return judge(self.find(presented[PUBLIC_ID]) or self.nobody, presented, now, peer)
        mac = self._mac.digest(presented.encode())
        return judge(self._by_mac.get(mac, self.nobody), presented, now, peer, mac)
