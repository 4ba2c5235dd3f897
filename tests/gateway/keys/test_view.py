"""The keys in memory: right about every key at every moment, and silent about the rest."""

from __future__ import annotations

import logging
import random
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import no_peer
from gateway.keys import virtual_keys
from gateway.keys.peppers import Peppers
from gateway.keys.view import MISS_TTL_S, MISSES_MAX, StoredKeys
from gateway.keys.virtual_keys import Refusal, checksum, generate, public_id
from gateway.state.keys.records import Org, StoredKey, StoredSecret
from policies.route_rules import Priority, Requirements
from policies.vocabulary import Principal
from tests.gateway.key_model import Modelled
from tests.gateway.key_sets import (
    LIMIT,
    NOW_S,
    PEPPERS,
    a_key,
    a_store,
    a_stored,
    a_view,
    changes,
    digest,
    fresh,
    held,
    limits_of,
)

SECRET = generate("live", random.Random(1))


def answer(stored: StoredKeys, presented: str, now: float = NOW_S, peer: str = "") -> Principal | Refusal:
    return a_view(stored).identify(presented, now, lambda: peer)


def test_a_stored_key_yields_its_principal() -> None:
    stored = a_store(
        a_stored(
            SECRET, team="t", user="u", org="o", tags=("a",), limits=({"requests": "60/min"},), output_tokens_default=9
        )
    )
    public = public_id(SECRET) or ""
    assert answer(stored, SECRET) == Principal(
        public, f"name-of-{public}", "t", "u", None, "o", ("a",), (LIMIT,), output_tokens_default=9
    )


def test_a_stored_key_may_be_kept_off_caches() -> None:
    for uses_cache in (True, False):
        found = answer(a_store(a_stored(SECRET, uses_cache=uses_cache)), SECRET)
        assert isinstance(found, Principal)
        assert found.uses_cache is uses_cache


def test_a_stored_key_is_bound_by_what_it_requires_and_what_its_owners_do() -> None:
    stored = a_store(
        a_stored(SECRET, org="o", team="t", priority="high", require_region="eu", require_data_classes=("phi",))
    )
    owners = Requirements(frozenset({"eu-west-1"}), frozenset({"pii"}))
    found = a_view(stored, owners=owners).identify(SECRET, NOW_S, no_peer)
    assert isinstance(found, Principal)
    assert found.requires == Requirements(frozenset({"eu", "eu-west-1"}), frozenset({"phi", "pii"}))
    assert (found.priority, found.routes) == (Priority.HIGH, None)
    alone = answer(stored, SECRET)
    assert isinstance(alone, Principal)
    assert alone.requires == Requirements(frozenset({"eu"}), frozenset({"phi"}))


def test_a_model_that_several_routes_have_stands_for_each_of_them() -> None:
    found = answer(a_store(a_stored(SECRET, routes=("smart",))), SECRET)
    assert isinstance(found, Principal)
    assert found.routes == frozenset({"smart", "smart#2"})


def test_the_principal_is_the_same_object_until_the_key_changes() -> None:
    """What was worked out for a principal is remembered by it."""
    stored = a_store(a_stored(SECRET, routes=("smart",)))
    view = a_view(stored)
    first = view.identify(SECRET, NOW_S, no_peer)
    assert view.identify(SECRET, NOW_S, no_peer) is first
    stored.take(changes(a_stored(SECRET, routes=("fast",)), revision=2))
    assert view.identify(SECRET, NOW_S, no_peer) is not first


def test_routes_are_known_by_any_of_their_names_and_match_nothing_once_they_are_gone() -> None:
    stored = a_store(a_stored(SECRET, routes=("smart-*", "gone")))
    found = answer(stored, SECRET)
    assert isinstance(found, Principal)
    assert found.routes == frozenset({"smart"})
    stored.take(changes(a_stored(SECRET, routes=("gone",)), revision=2))
    found = answer(stored, SECRET)
    assert isinstance(found, Principal)
    assert found.routes == frozenset()


ATTACKS = {
    "empty": "",
    "truncated": SECRET[:-1],
    "half": SECRET[: len(SECRET) // 2],
    "longer": SECRET + "x",
    "over-long": SECRET + "x" * 1_000,
    "huge": "sk-pm-" + "x" * 1_000_000,
    "not ASCII": SECRET[:-1] + "é",
    "surrogate": SECRET[:-1] + "\udcff",
    "fullwidth": SECRET.replace("s", "\uff53", 1),
    "NUL": SECRET + "\0",
    "NUL inside": SECRET[:20] + "\0" + SECRET[21:],
    "line break": SECRET + "\r\n",
    "lower case": SECRET.lower(),
    "upper case": SECRET.upper(),
    "swapped case": SECRET.swapcase(),
    "another environment": SECRET.replace("live", "test"),
    "another environment, summed up": (stem := SECRET[:-7].replace("live", "test")) + "_" + checksum(stem),
    "wrong checksum": SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b"),
    "public id alone": public_id(SECRET) or "",
    "another secret": (other := SECRET[:-39] + "0" * 32) + "_" + checksum(other),
    "digest": digest(SECRET).digest.hex(),
    "digest in the key's form": (fake := SECRET[:-39] + digest(SECRET).digest.hex()[:32]) + "_" + checksum(fake),
    "SQL": "sk-pm-live_x' OR 1=1 --",
    "unknown": generate("live", random.Random(2)),
}


@pytest.mark.parametrize("presented", ATTACKS.values(), ids=ATTACKS.keys())
def test_nothing_but_the_key_is_the_key(presented: str) -> None:
    stored = a_store(a_stored(SECRET))
    assert answer(stored, presented) in (Refusal.UNKNOWN, Refusal.MALFORMED, Refusal.CHECKSUM)
    assert not stored.used


@given(st.text() | st.integers(0, len(SECRET) - 1).flatmap(lambda i: st.characters().map(lambda c: SECRET[:i] + c)))
def test_no_text_breaks_the_view(presented: str) -> None:
    assert isinstance(answer(a_store(a_stored(SECRET)), presented), Refusal)


@pytest.mark.parametrize(
    ("peer", "refusal"),
    [
        ("10.1.2.3", None),
        ("::ffff:10.1.2.3", None),
        ("2001:db8::1", None),
        ("11.0.0.1", Refusal.ADDRESS),
        ("::ffff:11.0.0.1", Refusal.ADDRESS),
        ("2001:db9::1", Refusal.ADDRESS),
        ("fe80::1%eth0", Refusal.ADDRESS),
        ("", Refusal.ADDRESS),
        ("/run/pointsman.sock", Refusal.ADDRESS),
        ("10.1.2.3, 11.0.0.1", Refusal.ADDRESS),
    ],
)
def test_a_key_bound_to_networks_is_used_from_there_only(peer: str, refusal: Refusal | None) -> None:
    found = answer(a_store(a_stored(SECRET, networks=("10.0.0.0/8", "2001:db8::/32"))), SECRET, peer=peer)
    assert isinstance(found, Principal) if refusal is None else found is refusal


def test_the_address_is_asked_for_only_where_it_matters() -> None:
    def asked() -> str:
        raise AssertionError

    bound = fresh()
    view = a_view(a_store(a_stored(SECRET), a_stored(bound, networks=("10.0.0.0/8",))))
    assert isinstance(view.identify(SECRET, NOW_S, asked), Principal)
    wrong = bound[:-39] + "0" * 32
    assert view.identify(f"{wrong}_{checksum(wrong)}", NOW_S, asked) is Refusal.UNKNOWN


def test_what_is_wrong_with_a_key_is_told_to_its_holder_alone() -> None:
    until, stem = int(NOW_S * 1000), SECRET[:-39] + "0" * 32
    for terms, refusal in (
        ({"expires_at_ms": until}, Refusal.EXPIRED),
        ({"not_before_ms": until + 1}, Refusal.NOT_YET),
        ({"disabled": True}, Refusal.DISABLED),
        ({"networks": ("10.0.0.0/8",)}, Refusal.ADDRESS),
    ):
        stored = a_store(a_stored(SECRET, **terms))
        assert answer(stored, SECRET) is refusal
        assert answer(stored, f"{stem}_{checksum(stem)}") is Refusal.UNKNOWN


def test_a_key_under_a_former_pepper_works_and_one_under_an_unknown_pepper_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    crossing, lost = fresh(), fresh()
    second = generate("live", key_id=public_id(crossing))
    with caplog.at_level(logging.ERROR):
        stored = a_store(
            StoredKey(a_key(SECRET), (digest(SECRET, pepper=PEPPERS[1]),)),
            StoredKey(a_key(second), (digest(second), digest(crossing, NOW_S + 60, PEPPERS[1]))),
            StoredKey(a_key(lost), (digest(lost, pepper="a pepper that nobody has any more"),)),
        )
    assert all(isinstance(answer(stored, key), Principal) for key in (SECRET, second, crossing))
    assert answer(stored, lost) is Refusal.UNKNOWN
    assert "pepper" in caplog.text
    assert public_id(lost) is not None
    assert lost not in caplog.text


def test_a_key_whose_limits_are_not_understood_is_refused_rather_than_unlimited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        stored = a_store(a_stored(SECRET, limits=({"wishes": 3},)))
    assert answer(stored, SECRET) is Refusal.UNKNOWN
    assert "limits nothing" in caplog.text


def test_the_policy_file_wins_over_the_store() -> None:
    """By public id, and by name: nobody makes a key whose calls pass for those of the file's."""
    namesake, same_id = fresh(), generate("test", key_id=public_id(SECRET))
    stored = a_store(a_stored(namesake, name="of-file"), a_stored(same_id))
    view = a_view(stored, held(SECRET), held("f" * 30, "free"))
    found = view.identify(SECRET, NOW_S, no_peer)
    assert isinstance(found, Principal)
    assert found.key_name == "of-file"
    assert view.identify(namesake, NOW_S, no_peer) is Refusal.UNKNOWN
    assert view.identify(same_id, NOW_S, no_peer) is Refusal.UNKNOWN
    assert isinstance(view.identify("f" * 30, NOW_S, no_peer), Principal)
    assert isinstance(answer(stored, namesake), Principal)


def test_keys_are_required_from_the_first_on_for_good() -> None:
    stored = StoredKeys(Peppers(PEPPERS, None), limits_of)
    view = a_view(stored)
    assert view.required, "nothing is known yet"
    stored.take(changes(whole=True))
    assert not view.required
    stored.take(changes(a_stored(SECRET), revision=2))
    assert view.required
    stored.take(changes(a_stored(SECRET, revoked_at_ms=1), revision=3))
    assert len(stored) == 0
    assert view.required
    stored.take(changes(whole=True, revision=0))
    assert view.required, "whoever empties the store does not open the gateway"


def test_keys_are_required_where_the_file_has_one_or_the_world_can_call() -> None:
    empty = a_store()
    assert not a_view(empty).required
    assert a_view(empty, held("f" * 30)).required
    assert a_view(empty, is_open=False).required


def test_a_miss_asks_for_a_look_once_in_a_while_whatever_it_missed() -> None:
    """Known id or unknown, so that the two do not differ; a fresh secret of a known id is a reason to look, too."""
    told: list[None] = []
    stored = a_store(a_stored(SECRET))
    stored.on_miss = lambda: told.append(None)
    stem = SECRET[:-39] + "0" * 32
    unknown, wrong = fresh(), f"{stem}_{checksum(stem)}"
    view = a_view(stored)
    for presented in (unknown, wrong):
        told.clear()
        for _ in range(3):
            view.identify(presented, NOW_S, no_peer)
        assert len(told) == 1
        view.identify(presented, NOW_S + MISS_TTL_S, no_peer)
        assert len(told) == 2
    told.clear()
    for presented in (SECRET, SECRET[:-1], unknown[:-1] + "!", "f" * 30, "é"):
        view.identify(presented, NOW_S, no_peer)
    assert told == []


def test_misses_are_remembered_within_bounds() -> None:
    stored = a_store()
    for number in range(3 * MISSES_MAX):
        stored.missed(str(number), NOW_S)
        assert len(stored._misses) <= MISSES_MAX


def test_no_more_keys_are_held_than_fit_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    secrets = [fresh() for _ in range(4)]
    with caplog.at_level(logging.ERROR):
        stored = a_store(*map(a_stored, secrets), keys_max=3)
    assert [isinstance(answer(stored, secret), Principal) for secret in secrets] == [True, True, True, False]
    assert stored.is_full
    assert "no more than 3" in caplog.text
    stored.take(changes(a_stored(secrets[0], revoked_at_ms=1), a_stored(secrets[1], disabled=True), revision=2))
    assert answer(stored, secrets[1]) is Refusal.DISABLED
    stored.take(changes(*map(a_stored, secrets[1:]), revision=3, whole=True))
    assert not stored.is_full
    assert isinstance(answer(stored, secrets[3]), Principal)


def test_use_is_noted_of_keys_that_were_let_in() -> None:
    good, disabled = fresh(), fresh()
    stored = a_store(a_stored(good), a_stored(disabled, disabled=True))
    for presented in (good, disabled, fresh()):
        answer(stored, presented, NOW_S)
    answer(stored, good, NOW_S + 5)
    assert stored.used == {public_id(good): NOW_S + 5}


def test_orgs_have_their_time_zone_and_weight(caplog: pytest.LogCaptureFixture) -> None:
    stored = a_store()
    orgs = (Org(name="berlin", timezone="Europe/Berlin", weight=3), Org(name="lost", timezone="Not/There"))
    stored.take(changes(orgs=orgs, revision=2))
    assert (stored.zone_of("berlin"), stored.weight_of("berlin")) == (ZoneInfo("Europe/Berlin"), 3)
    assert (stored.zone_of("lost"), stored.zone_of("unknown"), stored.weight_of("unknown")) == (UTC, UTC, 1)
    assert "Not/There" in caplog.text


# --- against a model ---


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "rotate", "disable", "enable", "revoke", "expire", "later", "wait", "reload"]),
        st.integers(0, 3),
        st.integers(0, 20),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 2**32))
def test_the_view_answers_as_the_model_whatever_happens_in_between(
    steps: list[tuple[str, int, int]], seed: int
) -> None:
    rng, now, revision = random.Random(seed), NOW_S, 1
    stored, known = a_store(), [Modelled(generate("live", rng))]
    view = a_view(stored)
    stored.take(changes(known[0].stored(), revision=1))
    for what, which, amount in steps:
        key = known[which % len(known)]
        if what == "create":
            known.append(key := Modelled(generate("live", rng)))
        now += amount if what == "wait" else 0
        key.step(what, amount, now, rng)
        revision += 1
        if what == "reload":
            stored.take(changes(*(k.stored() for k in known if not k.revoked), revision=revision, whole=True))
        else:
            stored.take(changes(key.stored(), revision=revision))
        for each in known:
            for presented in each.presented():
                expected = each.expected(presented, now)
                found = view.identify(presented, now, no_peer)
                assert found is expected if expected else isinstance(found, Principal)
    assert len(stored) == sum(not key.revoked for key in known)


# --- what a clock could tell ---


@pytest.mark.parametrize("kind", ["right", "unknown", "known id", "of file, wrong", "rotated"])
def test_every_check_hashes_once_and_compares_twice(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filed, rotated = fresh(), fresh()
    stored = a_store(a_stored(SECRET), a_stored(rotated, digest(fresh(), NOW_S + 9)))
    stem, of_file = SECRET[:-39] + "0" * 32, filed[:-39] + "0" * 32
    presented = {
        "right": SECRET,
        "unknown": fresh(),
        "known id": f"{stem}_{checksum(stem)}",
        "of file, wrong": f"{of_file}_{checksum(of_file)}",
        "rotated": rotated,
    }[kind]
    view = a_view(stored, held(filed))
    done: list[str] = []

    class Watched:
        @staticmethod
        def compare_digest(one: bytes, two: bytes) -> bool:
            done.append("compared")
            return one == two

    hashing = virtual_keys.Hmac.digest

    def hashed(mac: virtual_keys.Hmac, message: bytes) -> bytes:
        done.append("hashed")
        return hashing(mac, message)

    monkeypatch.setattr(virtual_keys, "hmac", Watched)
    monkeypatch.setattr(virtual_keys.Hmac, "digest", hashed)
    view.identify(presented, NOW_S, no_peer)
    assert done == ["hashed", "compared", "compared"]


def test_a_digest_of_the_store_shows_no_secret() -> None:
    assert StoredSecret._fields == ("digest", "pepper", "created_at_ms", "expires_at_ms")
    assert SECRET.encode() not in digest(SECRET).digest
