from __future__ import annotations

from array import array

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.local.scheduling.states import HEAD_TOKENS, Kept, StateStore

TEXT = list(range(100))


def kept(tokens: list[int], scope: str = "", state_bytes: int = 1000) -> Kept:
    return Kept(scope, array("i", tokens), len(tokens), np.zeros(state_bytes, np.uint8))


class Notes:
    """A folder that writes down what it is asked for."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []

    def write(self, kept: Kept) -> None:
        self.said.append(("write", len(kept.tokens)))

    def use(self, kept: Kept) -> None:
        self.said.append(("use", len(kept.tokens)))

    def drop(self, kept: Kept) -> None:
        self.said.append(("drop", len(kept.tokens)))


def test_the_copy_with_most_in_common_is_found() -> None:
    store = StateStore(10_000)
    near, far = kept([*TEXT[:80], -1]), kept([*TEXT[:40], -2])
    assert store.add(near)
    assert store.add(far)
    assert store.find("", TEXT) == (near, 80)
    assert store.find("", [*TEXT[:40], -2, -3]) == (far, 41)
    assert store.holds("", TEXT[:80])
    assert not store.holds("", TEXT)


def test_other_scopes_and_other_beginnings_find_nothing() -> None:
    store = StateStore(10_000)
    store.add(kept(TEXT, "a"))
    assert store.find("b", TEXT) is None
    assert store.find("a", [-1, *TEXT]) is None
    assert store.find("a", TEXT[: HEAD_TOKENS - 1]) is None
    assert not store.holds("b", TEXT)


def test_who_goes_on_takes_the_place_of_what_it_went_on_from() -> None:
    notes = Notes()
    store = StateStore(10_000, notes)
    store.add(kept(TEXT[:60]))
    store.add(kept([*TEXT[:50], -1]))
    longer = kept(TEXT)
    store.add(longer)
    assert len(store) == 2
    assert store.find("", TEXT[:60]) == (longer, 60)
    assert notes.said == [("drop", 60)]


def test_those_that_were_of_no_use_for_longest_leave() -> None:
    store = StateStore(3 * 1400)
    texts = [kept([number] * 100) for number in range(3)]
    for one in texts:
        assert store.add(one)
    store.use(texts[0])
    store.add(kept([9] * 100))
    assert [store.find("", list(one.tokens)) is not None for one in texts] == [True, False, True]


def test_what_is_too_large_or_too_short_is_not_kept() -> None:
    store = StateStore(2000)
    assert not store.add(kept(TEXT, state_bytes=2000))
    assert not store.add(kept(TEXT[:20], state_bytes=10))
    assert (len(store), store.size_bytes) == (0, 0)


def test_a_copy_that_left_meanwhile_may_be_used_to_the_end() -> None:
    store = StateStore(1500)
    first = kept(TEXT)
    store.add(first)
    store.add(kept([-1] * 100))
    store.use(first)
    assert store.find("", TEXT) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(30, 60), st.integers(0, 900)), max_size=40))
def test_never_more_than_there_is_room_for(texts: list[tuple[int, int, int]]) -> None:
    store, notes = StateStore(2000), Notes()
    store.folder = notes
    added = 0
    for seed, length, state_bytes in texts:
        added += store.add(kept([seed] * length, state_bytes=state_bytes))
        assert store.size_bytes <= 2000
    assert len(store) == added - len(notes.said)
    found = {store.find("", [seed] * 30) for seed, *_ in texts}
    assert all(one is None or one[1] == 30 or len(one[0].tokens) < 60 for one in found)
