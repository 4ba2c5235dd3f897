from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.state.answers.packed import ENTRY_BYTES, VECTOR_BYTES, Packing
from gateway.state.answers.sealing import Sealing
from gateway.state.answers.store import Kept, Record
from gateway.state.answers.vector_store import place_of, shelf_of
from policies.cache_rules import Level
from tests.answer_store_suite import OTHER, OWNER, Asked

ENTRY = Asked().entry(1_000.5, tags=("a", "é b"))
PLAIN = Packing()


def sealed() -> Packing:
    pytest.importorskip("cryptography")
    return Packing(Sealing(["a key of the operator's"]))


@pytest.mark.parametrize("make", [lambda: PLAIN, sealed], ids=["in clear", "sealed"])
def test_an_entry_is_read_as_it_was_written(make: Any) -> None:
    packing = make()
    value = packing.pack(ENTRY, has_vector=False).value
    said = [value, b"3", None, b"2"]
    assert packing.unpacked(OWNER, "ce_1", said, Level.NEAR) == Kept(ENTRY, Record(3, 0, 2), Level.NEAR)


@pytest.mark.parametrize("make", [lambda: PLAIN, sealed], ids=["in clear", "sealed"])
def test_it_is_nobody_else_s_and_no_other_one(make: Any) -> None:
    packing = make()
    said = [packing.pack(ENTRY, has_vector=False).value, None, None, None]
    assert packing.unpacked(OTHER, "ce_1", said) is None
    assert packing.unpacked(OWNER, "ce_2", said) is None


def test_what_is_in_clear_is_not_believed_where_it_ought_to_be_sealed() -> None:
    said = [PLAIN.pack(ENTRY, has_vector=False).value, None, None, None]
    assert sealed().unpacked(OWNER, "ce_1", said) is None


def test_a_sealed_digest_says_nothing_and_differs_by_owner() -> None:
    packing = sealed()
    names = {packing.name_of(owner, ENTRY.exact) for owner in (OWNER, OTHER)} | {PLAIN.name_of(OWNER, ENTRY.exact)}
    assert len(names) == 3
    assert packing.name_of(OWNER, b"") == PLAIN.name_of(OWNER, b"") == ""


def test_the_scripts_know_what_they_drop_by_and_where_the_vector_is() -> None:
    packed = PLAIN.pack(ENTRY, has_vector=True)
    size, stored_ms, ends_ms, exact, near, shelf, route, tags = msgspec.msgpack.decode(packed.known)
    assert size == packed.size_bytes == ENTRY_BYTES + len(packed.value) + VECTOR_BYTES
    assert (stored_ms, ends_ms, route, tags) == (1_000_500, 1_060_500, "faq", ["a", "é b"])
    assert (exact, near) == (PLAIN.name_of(OWNER, ENTRY.exact), PLAIN.name_of(OWNER, ENTRY.near))
    assert shelf == packed.shelf == shelf_of(place_of(ENTRY)).name
    assert PLAIN.pack(ENTRY, has_vector=False).shelf == ""


@pytest.mark.parametrize("count", [b"-1", b"1.5", b"x", b"", b"9" * 16, "٣".encode()])
def test_a_record_that_is_none_is_no_entry(count: bytes) -> None:
    assert PLAIN.unpacked(OWNER, "ce_1", [PLAIN.pack(ENTRY, has_vector=False).value, count, None, None]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"exact": b"short"},
        {"expires_at_s": 1e12},
        {"expires_at_s": float("nan")},
        {"headers": (("x-\r\ny", "1"),)},
        {"tags": ("t",) * 1000},
    ],
    ids=str,
)
def test_an_entry_that_no_gateway_makes_is_none(change: dict[str, Any]) -> None:
    value = PLAIN.pack(ENTRY, has_vector=False).value
    forged = msgspec.msgpack.encode(structs.replace(ENTRY, **change))
    assert PLAIN.unpacked(OWNER, "ce_1", [value, None, None, None]) is not None
    assert PLAIN.unpacked(OWNER, "ce_1", [forged, None, None, None]) is None


@given(st.lists(st.one_of(st.binary(max_size=60), st.none(), st.integers(), st.lists(st.integers())), max_size=6))
def test_whatever_redis_says_raises_nothing(said: list[Any]) -> None:
    assert PLAIN.unpacked(OWNER, "ce_1", said) is None


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_entry_raises_nothing_and_is_the_owner_s_or_none(at: int, damage: bytes) -> None:
    value = PLAIN.pack(ENTRY, has_vector=False).value
    kept = PLAIN.unpacked(OWNER, "ce_1", [value[:at] + damage + value[at + len(damage) :], None, None, None])
    assert kept is None or (kept.entry.owner, kept.entry.id) == (OWNER, "ce_1")
