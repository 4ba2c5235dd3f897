"""Virtual keys: made, checked offline, found on a ring."""

from __future__ import annotations

import hmac
import math
import pickle
import re
import secrets
import traceback
from ipaddress import ip_network
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import no_peer
from gateway.keys import virtual_keys
from gateway.keys.virtual_keys import (
    ALPHABET,
    HeldKey,
    Hmac,
    KeyRing,
    Refusal,
    check,
    checksum,
    generate,
    lies_within,
    public_id,
)
from gateway.secret import Secret
from policies.vocabulary import Principal

PEPPER = b"p" * 32
OWN = "correct-horse-battery-staple"
NOW = 1_000.0


def seeded(seed: int) -> Random:
    return Random(seed)


KEY = generate("live", seeded(1))


def ring(*keys: HeldKey) -> KeyRing:
    return KeyRing(keys, PEPPER)


RING = ring(
    HeldKey(Secret(KEY), "ours", team="t", user="u", routes=frozenset({"smart"})),
    HeldKey(Secret(OWN), "theirs"),
)


@given(st.integers(), st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True))
def test_a_made_key_has_the_published_form_and_passes_its_check(seed: int, env: str) -> None:
    key = generate(env, seeded(seed))
    assert re.fullmatch(rf"sk-pm-{env}_[0-9A-Za-z]{{12}}_[0-9A-Za-z]{{32}}_[0-9A-Za-z]{{6}}", key)
    assert check(key) is None
    assert public_id(key) == key.split("_")[1]


@given(st.integers(0, len(KEY) - 1), st.characters())
def test_no_single_wrong_character_passes(position: int, char: str) -> None:
    typo = KEY[:position] + char + KEY[position + 1 :]
    if typo != KEY:
        # In the environment's name a letter is as good as another, until the checksum is asked.
        assert check(typo) in (Refusal.MALFORMED, Refusal.CHECKSUM)


@given(st.text())
def test_the_checksum_is_the_crc32_in_base62(stem: str) -> None:
    stem = stem.encode("utf-8", "ignore").decode()
    value = 0
    for digit in checksum(stem):
        value = value * 62 + ALPHABET.index(digit)
    assert value == crc32(stem.encode())


def test_a_fresh_secret_may_be_for_a_key_that_is_there() -> None:
    again = generate("live", seeded(5), public_id(KEY))
    assert (public_id(again), check(again)) == (public_id(KEY), None)
    assert again.split("_")[2] != KEY.split("_")[2]


@pytest.mark.parametrize(
    ("peer", "is_within"),
    [("10.9.9.9", True), ("::ffff:10.9.9.9", True), ("::ffff:11.0.0.1", False), ("::1", False), ("", False)],
)
def test_an_address_lies_in_a_network_however_it_came(peer: str, is_within: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert lies_within(peer, [ip_network("10.0.0.0/8")]) is is_within


@pytest.mark.parametrize("env", ["", "LIVE", "a_b", "x" * 17, "ü", "a\n"])
def test_an_environment_that_no_key_can_hold_is_refused(env: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters and digits"):
        generate(env)


def test_fresh_keys_come_from_the_operating_system() -> None:
    assert len({generate("live") for _ in range(100)}) == 100
    assert generate.__defaults__ == (secrets, None)


def test_a_key_of_ours_yields_its_principal_under_its_public_id() -> None:
    found = RING.identify(KEY, NOW, no_peer)
    assert found == Principal(KEY.split("_")[1], "ours", "t", "u", frozenset({"smart"}))


def test_any_other_key_yields_its_principal_under_the_beginning_of_its_mac() -> None:
    found = RING.identify(OWN, NOW, no_peer)
    expected = hmac.new(PEPPER, OWN.encode(), "sha256").hexdigest()[:12]
    assert found == Principal(expected, "theirs")


@pytest.mark.parametrize(
    ("presented", "refusal"),
    [
        ("", Refusal.MALFORMED),
        (OWN + "\n", Refusal.MALFORMED),
        (OWN + "\0", Refusal.MALFORMED),
        (OWN + "é", Refusal.MALFORMED),
        ("x" * 513, Refusal.MALFORMED),
        ("x" * 512, Refusal.UNKNOWN),
        (OWN[:-1], Refusal.UNKNOWN),
        (OWN + "x", Refusal.UNKNOWN),
        (OWN.upper(), Refusal.UNKNOWN),
        (KEY[:-1], Refusal.MALFORMED),
        (KEY + "x", Refusal.MALFORMED),
        ("sk-pm-", Refusal.MALFORMED),
        (KEY[:-8] + ("a" if KEY[-8] != "a" else "b") + KEY[-7:], Refusal.CHECKSUM),
        (KEY[:-1] + ("a" if KEY[-1] != "a" else "b"), Refusal.CHECKSUM),
        (KEY.replace("-live_", "-test_"), Refusal.CHECKSUM),
        (generate("live", seeded(2)), Refusal.UNKNOWN),
        (hmac.new(PEPPER, KEY.encode(), "sha256").hexdigest(), Refusal.UNKNOWN),
    ],
)
def test_what_is_not_on_the_ring_says_why(presented: str, refusal: Refusal) -> None:
    assert RING.identify(presented, NOW, no_peer) is refusal


def test_a_known_public_id_with_another_secret_is_unknown() -> None:
    """A thief who has read a public id in a log gains nothing by it."""
    stem = KEY[:-39] + "0" * 32
    forged = f"{stem}_{checksum(stem)}"
    assert public_id(forged) == public_id(KEY)
    assert RING.identify(forged, NOW, no_peer) is Refusal.UNKNOWN


@given(st.text())
def test_no_text_breaks_the_ring(presented: str) -> None:
    assert isinstance(RING.identify(presented, NOW, no_peer), Refusal)


@pytest.mark.parametrize("key", [KEY, OWN])
def test_a_key_works_until_it_expires(key: str) -> None:
    expiring = ring(HeldKey(Secret(key), "k", expires_s=NOW))
    assert isinstance(expiring.identify(key, math.nextafter(NOW, 0), no_peer), Principal)
    assert expiring.identify(key, NOW, no_peer) is Refusal.EXPIRED


@pytest.mark.parametrize("presented", [KEY, OWN, generate("live", seeded(3)), "y" * 20, KEY[:-39] + "0" * 39])
def test_a_hit_and_a_miss_both_compare_in_constant_time(presented: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    class Watched:
        digest = staticmethod(hmac.digest)

        @staticmethod
        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(virtual_keys, "hmac", Watched)
    RING.identify(presented, NOW, no_peer)
    assert [(len(one), len(other)) for one, other in compared] == [(32, 32)] * 2


@pytest.mark.parametrize("presented", ["", "x" * 513, "a\nb", "ü" * 30])
def test_what_cannot_be_a_key_is_refused_before_any_hashing(presented: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(virtual_keys, "hmac")
    assert RING.identify(presented, NOW, no_peer) is Refusal.MALFORMED


def test_the_ring_holds_no_key_in_the_clear() -> None:
    entries = [*RING._by_public_id.values(), *RING._by_mac.values(), RING.nobody]
    held = pickle.dumps(
        [list(RING._by_public_id), list(RING._by_mac)]
        + [[e.principal, [(d.value, d.expires_s) for d in (e.newest, e.former)], *e[3:]] for e in entries]
    )
    assert len(entries[0]) == 7
    assert len(entries[0].newest) == 3
    assert KEY.encode() not in held
    assert OWN.encode() not in held
    assert KEY.split("_")[2].encode() not in held
    assert len(RING) == 2


def test_a_held_key_may_be_kept_off_caches() -> None:
    for uses_cache in (True, False):
        (principal,) = ring(HeldKey(Secret(OWN), "k", uses_cache=uses_cache)).principals()
        assert principal.uses_cache is uses_cache


def test_a_held_key_does_not_show_its_secret() -> None:
    key = HeldKey(Secret(OWN), "k")
    assert OWN not in repr(key) + str(key) + "".join(traceback.format_exception(ValueError(key)))


@given(st.binary(max_size=200), st.binary(max_size=600))
def test_the_mac_is_hmac_sha256(key: bytes, message: bytes) -> None:
    assert Hmac(key).digest(message) == hmac.digest(key, message, "sha256")
