from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.amounts import amounts_in, plain
from policies.questions.units import Amount


@pytest.mark.parametrize(
    ("token", "following", "sign", "expected"),
    [
        ("1,000", "", "", [Amount("1000")]),
        ("50%", "", "", [Amount("50", "%")]),
        ("50", "percent", "", [Amount("50", "%")]),
        ("5km", "", "", [Amount("5", "km")]),
        ("5", "kilometres", "", [Amount("5", "km")]),
        ("5", "", "$", [Amount("5", "usd")]),
        ("5.00", "dollars", "", [Amount("5", "usd")]),
        ("5k", "", "", [Amount("5000")]),
        ("25k", "rupees", "", [Amount("25000", "inr")]),
        ("2.5", "million", "", [Amount("2500000")]),
        ("7pm", "", "", [Amount("19:00", "time")]),
        ("7", "pm", "", [Amount("19:00", "time")]),
        ("12", "am", "", [Amount("0:00", "time")]),
        ("10:30", "", "", [Amount("10:30", "time")]),
        ("3-5", "days", "", [Amount("3", "day"), Amount("5", "day")]),
        ("2024-05-01", "", "", [Amount("2024/5/1")]),
        ("3rd", "", "", [Amount("3", is_weak=True)]),
        ("1", "", "", [Amount("1", is_weak=True)]),
        ("-5", "", "", [Amount("-5")]),
        ("18", "in", "", [Amount("18")]),
    ],
)
def test_digits_in_one_form(token: str, following: str, sign: str, expected: list[Amount]) -> None:
    assert amounts_in(token, following, sign) == expected


@given(st.integers(0, 10**9))
def test_separators_of_thousands_say_nothing(number: int) -> None:
    assert plain(f"{number:,}") == plain(str(number))


@given(st.text(max_size=60), st.text(max_size=10), st.text(max_size=3))
def test_any_token_gives_an_answer(token: str, following: str, sign: str) -> None:
    assert all(amount.value for amount in amounts_in(token, following, sign))
