from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.local.scheduling.lookup import MOST_INDEXED_TOKENS, Lookup


def looked(tokens: list[int]) -> Lookup:
    lookup = Lookup(tokens)
    lookup.catch_up(len(tokens))
    return lookup


def test_a_new_text_is_not_guessed() -> None:
    assert looked([1, 2, 3, 4]).guess(3) == []
    assert looked([]).guess(3) == []


def test_what_followed_the_same_words_is_guessed_again() -> None:
    lookup = looked([1, 2, 3, 4, 5, 9, 1, 2, 3])
    assert lookup.guess(3) == [4, 5, 9]
    assert lookup.next == 4


def test_a_text_that_goes_in_circles_is_guessed_to_go_on_so() -> None:
    lookup = looked([1, 2, 3, 4, 1, 2, 3])
    assert lookup.guess(2) == [4, 1]
    assert lookup.guess(10) == [4, 1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert looked([7, 7, 7, 7]).guess(3) == [7, 7, 7]


def test_the_last_time_counts() -> None:
    assert looked([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]).guess(1) == [5]


def test_a_guess_goes_with_the_next_token() -> None:
    lookup = looked([1, 2, 3, 4, 1, 2, 3])
    lookup.add(8)
    assert lookup.guess(1) == []
    assert lookup.next is None


def test_a_text_is_looked_into_bit_by_bit() -> None:
    """What is added meanwhile waits for its turn, and nothing is guessed before the end was seen."""
    lookup = Lookup([1, 2, 3, 4, 1, 2])
    assert lookup.catch_up(4) == 4
    lookup.add(3)
    assert lookup.guess(1) == []
    assert lookup.catch_up(100) == 3
    assert lookup.guess(1) == [4]
    assert lookup.catch_up(100) == 0


def test_of_a_long_text_the_end_is_looked_into() -> None:
    lookup = Lookup([1, 2, 3, 4] + [0] * MOST_INDEXED_TOKENS)
    assert lookup.catch_up(1 << 20) == MOST_INDEXED_TOKENS
    for token in (1, 2, 3):
        lookup.add(token)
    assert lookup.guess(1) == []


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 8), st.integers(0, 60))
def test_guesses_are_a_piece_of_the_text_that_stands_after_its_last_three(
    tokens: list[int], most: int, begun: int
) -> None:
    lookup = looked(tokens[:begun])
    for token in tokens[begun:]:
        lookup.add(token)
    end = tokens[-3:]
    earlier = [at for at in range(len(tokens) - 3) if tokens[at : at + 3] == end] if len(tokens) > 3 else []
    circle = tokens[earlier[-1] + 3 :] if earlier else []
    assert lookup.guess(most) == [circle[at % len(circle)] for at in range(most if circle else 0)]
