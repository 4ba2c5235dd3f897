from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from policies.vector_batches import Batch, Box, Pick, Pile, Served, next_batch

LENGTHS = st.lists(st.integers(1, 300), max_size=20).map(sorted)
PILES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 2), LENGTHS), max_size=6
).map(lambda piles: [Pile(number, *pile) for number, pile in enumerate(piles)])
BOXES = st.builds(Box, st.integers(1, 512), st.integers(1, 16))


def pile(number: int, lengths: list[int], flow: str = "a", weight: float = 1.0, priority: int = 1) -> Pile:
    return Pile(number, flow, weight, priority, lengths)


def left_of(piles: list[Pile], batch: Batch) -> list[Pile]:
    taken = set(batch.picks)
    return [
        one._replace(lengths=[n for at, n in enumerate(one.lengths) if Pick(one.number, at) not in taken])
        for one in piles
    ]


@given(PILES, BOXES)
def test_a_batch_fits_its_box_and_is_never_empty_while_there_is_work(piles: list[Pile], box: Box) -> None:
    batch = next_batch(piles, box, Served())
    lengths = [piles[pick.number].lengths[pick.position] for pick in batch.picks]
    assert len(lengths) <= box.texts
    assert sum(lengths) <= box.tokens or len(lengths) == 1
    assert bool(lengths) is any(one.lengths for one in piles)
    assert len(set(batch.picks)) == len(batch.picks)


@given(PILES, BOXES)
def test_batch_after_batch_reads_every_text_once(piles: list[Pile], box: Box) -> None:
    total = sum(len(one.lengths) for one in piles)
    served, read = Served(), Counter[int]()
    for _ in range(total):
        batch = next_batch(piles, box, served)
        piles, served = left_of(piles, batch), batch.served
        read.update(pick.number for pick in batch.picks)
    assert read.total() == total
    assert not any(one.lengths for one in piles)


def test_a_request_of_thousands_takes_turns_with_a_small_one() -> None:
    batch = next_batch([pile(1, [10] * 2048), pile(2, [10], "b")], Box(40, 64), Served({"a": 9000.0}, {1: 9000}))
    assert Counter(pick.number for pick in batch.picks) == {1: 3, 2: 1}


def test_a_tenants_requests_take_turns_and_none_starves() -> None:
    piles, served = [pile(1, [10] * 50)], Served({"a": 500.0}, {1: 500})
    for number in range(2, 52):
        batch = next_batch([piles[0], pile(number, [10])], Box(20, 64), served)
        assert {pick.number for pick in batch.picks} == {1, number}
        piles, served = left_of(piles, batch), batch.served
    assert not piles[0].lengths


def test_shares_go_by_weight() -> None:
    piles, served, read = [pile(1, [10] * 500, "a", 3.0), pile(2, [10] * 500, "b", 1.0)], Served(), Counter[int]()
    for _ in range(20):
        batch = next_batch(piles, Box(80, 64), served)
        piles, served = left_of(piles, batch), batch.served
        read.update(pick.number for pick in batch.picks)
    assert read[1] == 3 * read[2]


def test_a_higher_priority_goes_first() -> None:
    batch = next_batch([pile(1, [10] * 9), pile(2, [10] * 9, "b", priority=2)], Box(40, 64), Served({"b": 1e9}))
    assert {pick.number for pick in batch.picks} == {2}


def test_a_long_text_has_the_next_empty_box_to_itself() -> None:
    piles = [pile(1, [5] * 50), pile(2, [300], "b")]
    first = next_batch(piles, Box(100, 64), Served())
    second = next_batch(left_of(piles, first), Box(100, 64), first.served)
    assert first.picks[0].number == 1
    assert second.picks == (Pick(2, 0),)


def test_small_texts_fill_what_a_longer_one_leaves() -> None:
    batch = next_batch([pile(1, [10, 60, 90])], Box(100, 64), Served())
    assert [pick.position for pick in batch.picks] == [2, 0]


def test_being_away_earns_nothing() -> None:
    piles = [pile(1, [10] * 100), pile(2, [10] * 100, "b")]
    batch = next_batch(piles, Box(80, 64), Served({"a": 5000.0}, {1: 5000}))
    assert Counter(pick.number for pick in batch.picks) == {1: 4, 2: 4}
