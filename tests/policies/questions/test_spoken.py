from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.spoken import spoken
from policies.questions.units import Amount


def said(text: str) -> list[Amount]:
    return [amount for _, amount in spoken(text.split())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twenty five dollars", [Amount("25", "usd")]),
        ("two hundred and five apples", [Amount("205")]),
        ("a thousand miles", [Amount("1000", "mile")]),
        ("five thousand two hundred days", [Amount("5200", "day")]),
        ("a dozen eggs", [Amount("12")]),
        ("one of them", [Amount("1", is_weak=True)]),
        ("the second one", [Amount("2", is_weak=True), Amount("1", is_weak=True)]),
        ("wait a second", [Amount("2", is_weak=True)]),
        ("per second", []),
        ("two three", [Amount("2"), Amount("3")]),
        ("2 million", []),
        ("no numbers", []),
        ("drei Tage", [Amount("3")]),
    ],
)
def test_numbers_in_words(text: str, expected: list[Amount]) -> None:
    assert said(text) == expected


@given(st.lists(st.sampled_from(["trillion", "million", "two", "hundred", "and", "dozen", "x"]), max_size=3000))
def test_absurd_numbers_stay_small_enough_to_write(words: list[str]) -> None:
    assert all(len(amount.value) < 60 for _, amount in spoken(words))
