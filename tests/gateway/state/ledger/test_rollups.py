from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.ledger.rollups import LONGEST_ACCOUNT, MEASURES, account_key, rolled_up, series_of
from tests.gateway.state.ledger_rows import DAY_S, NOON_MS, a_row, unpriced

NOON_S = NOON_MS // 1000


def test_calls_count_where_their_first_attempt_went() -> None:
    fallback = unpriced(a_row("req_1", 2))._replace(deployment="llama", estimated=1)
    usage = rolled_up([a_row("req_1"), fallback, a_row("req_2")]).usage
    sums = {who[6]: dict(zip(MEASURES, values, strict=True)) for (_, who), values in usage.items()}
    assert sums["gpt-4o"] | {"calls": 2, "attempts": 2, "cost_nanousd": 700, "unpriced_attempts": 0} == sums["gpt-4o"]
    assert sums["llama"] == {
        **dict.fromkeys(MEASURES, 0),
        "attempts": 1,
        "input_tokens": 100,
        "cached_input_tokens": 20,
        "output_tokens": 10,
        "estimated_tokens": 110,
        "unpriced_attempts": 1,
        "unpriced_tokens": 110,
    }


def test_an_attempt_belongs_to_the_hour_it_began_in() -> None:
    rows = [a_row(f"req_{ms}")._replace(started_at_ms=NOON_MS + ms) for ms in (-1, 0, 3_599_999, 3_600_000)]
    hours = [hour_s for hour_s, _ in rolled_up(rows).usage]
    assert hours == [NOON_S - 3600, NOON_S, NOON_S + 3600]


def test_charges_add_up_by_account_and_window() -> None:
    charges = [["a|x", DAY_S, 5], ["a|x", DAY_S + 86_400.0, 7], ["a|y", DAY_S, 0]]
    row = a_row()._replace(charges=json.dumps(charges))
    assert rolled_up([row, row]).charges == {("a|x", DAY_S): 10, ("a|x", DAY_S + 86_400): 14, ("a|y", DAY_S): 0}


@pytest.mark.parametrize("charges", ["", "{}", "[[]]", '[["a",1]]', '[["a",1,2.5]]', "[[1,1,1]]"])
def test_charges_that_cannot_be_read_are_told(charges: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        rolled_up([a_row()._replace(charges=charges)])


@given(st.text(max_size=2_000), st.text(max_size=2_000))
def test_accounts_stay_apart_however_long_they_are(one: str, other: str) -> None:
    assert len(account_key(one)) <= LONGEST_ACCOUNT
    assert (account_key(one) == account_key(other)) == (one == other)


def test_long_accounts_with_one_beginning_stay_apart() -> None:
    assert account_key("a" * 5_000) != account_key("a" * 5_001)


def test_a_series_is_the_same_in_every_release() -> None:
    """It is a key in databases that exist: to change it would split their sums."""
    who = ("acme", "platform", "ada", "k_1", "ci", "smart", "gpt-4o", "openai", "gpt-4o-2024", '["blå"]')
    assert series_of(who) == "12d771d3210f8c7430db6f10be16f5fe"
    assert series_of((*who[:-1], None)) != series_of((*who[:-1], ""))
