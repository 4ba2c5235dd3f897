from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MissingExtra, StartError
from gateway.extras import ENCRYPTION, Extra
from gateway.state.answers.sealing import SealBroken, Sealing

OLD, NEW = "the key of last year", "the key of this year"
SEALING = Sealing([NEW])


@given(st.text(max_size=40), st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_is_opened_as_it_was(owner: str, secret: bytes, entry_id: str) -> None:
    sealed = SEALING.seal(owner, secret, entry_id)
    assert SEALING.open(owner, sealed, entry_id) == secret
    assert len(secret) < 4 or secret not in sealed


def test_nothing_is_sealed_twice_alike() -> None:
    assert SEALING.seal("a", b"secret", "1") != SEALING.seal("a", b"secret", "1")


@pytest.mark.parametrize(("owner", "entry_id"), [("b", "1"), ("a", "2"), ("a", ""), ("", "1"), ("a\x001", "")])
def test_what_is_one_s_opens_for_nobody_else(owner: str, entry_id: str) -> None:
    sealing = Sealing([NEW])
    sealed = sealing.seal("a", b"secret", "1")
    with pytest.raises(SealBroken):
        sealing.open(owner, sealed, entry_id)
    assert sealing.refused == 1


@given(st.data())
def test_what_was_changed_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(SEALING.seal("a", b"secret", "1"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealBroken):
        SEALING.open("a", bytes(sealed), "1")


@given(st.binary(max_size=80))
def test_no_bytes_but_sealed_ones_open(noise: bytes) -> None:
    with pytest.raises(SealBroken):
        SEALING.open("a", noise)


def test_keys_rotate_without_anything_being_lost() -> None:
    before, between, after = Sealing([OLD]), Sealing([NEW, OLD]), Sealing([NEW])
    old, new = before.seal("a", b"old"), between.seal("a", b"new")
    assert (between.open("a", old), between.open("a", new), after.open("a", new)) == (b"old", b"new", b"new")
    for sealing, sealed in ((before, new), (after, old)):
        with pytest.raises(SealBroken):
            sealing.open("a", sealed)
    assert between.digest("a", b"d") == before.digest("a", b"d") != after.digest("a", b"d")


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "team:a"]), st.binary(max_size=40)), min_size=2, unique=True))
def test_digests_are_apart_and_need_the_key(parts: list[tuple[str, bytes]]) -> None:
    digests = {SEALING.digest(owner, digest) for owner, digest in parts}
    assert len(digests) == len(parts)
    assert not digests & {Sealing([OLD]).digest(owner, digest) for owner, digest in parts}
    assert {len(digest) for digest in digests} == {32}


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, ""]])
def test_a_key_that_can_be_guessed_is_no_key(keys: list[str]) -> None:
    with pytest.raises(StartError, match="fewer than 16 characters"):
        Sealing(keys)


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.sealing.ENCRYPTION", Extra(ENCRYPTION.name, "no_such", "cryptography"))
    with pytest.raises(MissingExtra, match=r"\.\[encryption\]"):
        Sealing([NEW])


def test_keys_of_many_owners_are_made_again() -> None:
    sealing = Sealing([NEW])
    sealed = {str(number): sealing.seal(str(number), b"secret") for number in range(1_100)}
    assert {sealing.open(owner, one) for owner, one in sealed.items()} == {b"secret"}
