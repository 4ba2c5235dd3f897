from __future__ import annotations

from math import ceil, inf

from hypothesis import given
from hypothesis import strategies as st

from policies.rendezvous import distances, room

NAMES = tuple(f"deployment {letter}".encode() for letter in "abcdefgh")
KEYS = [f"caller {number}" for number in range(400)]

sets = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 9)), min_size=2, unique_by=lambda target: target[0])


def winner(key: str, targets: list[tuple[bytes, int]]) -> bytes:
    names = [name for name, _ in targets]
    found = distances(key, names, [weight for _, weight in targets])
    return names[found.index(min(found))]


def order(key: str, targets: list[tuple[bytes, int]]) -> list[bytes]:
    names = [name for name, _ in targets]
    found = distances(key, names, [weight for _, weight in targets])
    return [name for _, name in sorted(zip(found, names, strict=True))]


@given(sets, st.data())
def test_of_a_target_that_goes_only_its_keys_move_each_to_the_next_in_its_order(
    targets: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(targets))
    left = [target for target in targets if target != gone]
    for key in KEYS[:40]:
        before = order(key, targets)
        before.remove(gone[0])
        assert order(key, left) == before


@given(sets, st.data())
def test_to_a_target_that_comes_or_grows_only_keys_move_that_go_there(
    targets: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    name, weight = data.draw(st.sampled_from(targets))
    grown = [(each, old + (5 if each == name else 0)) for each, old in targets]
    for key in KEYS[:40]:
        assert winner(key, grown) in (winner(key, targets), name)
    assert weight < dict(grown)[name]


def test_a_change_moves_about_its_share_of_the_keys() -> None:
    ten = [(f"t{number}".encode(), 1) for number in range(10)]
    keys = [f"k{number}" for number in range(4000)]
    moved = sum(winner(key, ten) != winner(key, ten[:-1]) for key in keys)
    assert 0.08 < moved / len(keys) < 0.12


def test_shares_are_those_of_the_weights() -> None:
    targets = [(NAMES[0], 70), (NAMES[1], 25), (NAMES[2], 5)]
    keys = [f"k{number}" for number in range(20_000)]
    led = [winner(key, targets) for key in keys]
    for name, weight in targets:
        assert abs(led.count(name) / len(keys) - weight / 100) < 0.01


def test_a_weight_of_zero_is_infinitely_far() -> None:
    assert distances("k", NAMES[:2], [0, 1])[0] == inf


@given(st.text(), st.lists(st.integers(0, 5), min_size=2, max_size=2))
def test_any_key_has_a_finite_distance_to_all_that_count(key: str, weights: list[int]) -> None:
    found = distances(key, NAMES[:2], weights)
    assert [distance < inf for distance in found] == [weight > 0 for weight in weights]
    assert min(found) >= 0.0


def test_a_surrogate_from_a_header_is_a_key_like_any_other() -> None:
    assert distances("\udcff", NAMES[:1], [1]) != distances("\udcfe", NAMES[:1], [1])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=8), st.floats(1.0, 3.0))
def test_there_is_always_room_and_never_beyond_the_bound(targets: list[tuple[int, int]], load_max: float) -> None:
    loads, weights = [load for load, _ in targets], [weight for _, weight in targets]
    found = room(loads, weights, load_max)
    assert any(found)
    total = sum(weights)
    for load, weight, is_open in zip(loads, weights, found, strict=True):
        if is_open and total:
            assert load + 1 <= ceil(load_max * (sum(loads) + 1) * weight / total + 1e-9)
