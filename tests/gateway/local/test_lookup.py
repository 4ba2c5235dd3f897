from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.local.lookup import Lookup


def test_a_new_text_is_not_guessed() -> None:
    assert Lookup([1, 2, 3, 4]).guess(3) == []
    assert Lookup([]).guess(3) == []


def test_what_followed_the_same_words_is_guessed_again() -> None:
    assert Lookup([1, 2, 3, 4, 5, 9, 1, 2, 3]).guess(3) == [4, 5, 9]


def test_a_text_that_goes_in_circles_is_guessed_to_go_on_so() -> None:
    lookup = Lookup([1, 2, 3, 4, 1, 2, 3])
    assert lookup.guess(2) == [4, 1]
    assert lookup.guess(10) == [4, 1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert Lookup([7, 7, 7, 7]).guess(3) == [7, 7, 7]


def test_the_last_time_counts() -> None:
    assert Lookup([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]).guess(1) == [5]


def test_a_guess_goes_with_the_next_token() -> None:
    lookup = Lookup([1, 2, 3, 4, 1, 2, 3])
    lookup.add(8)
    assert lookup.guess(1) == []


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 8))
def test_guesses_are_a_piece_of_the_text_that_stands_after_its_last_three(tokens: list[int], most: int) -> None:
    guess = Lookup(tokens).guess(most)
    end = tokens[-3:]
    earlier = [at for at in range(len(tokens) - 3) if tokens[at : at + 3] == end] if len(tokens) > 3 else []
    circle = tokens[earlier[-1] + 3 :] if earlier else []
    assert guess == [circle[at % len(circle)] for at in range(most if circle else 0)]
