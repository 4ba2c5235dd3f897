from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.amounts import (
    RATE_UNITS,
    WINDOW_MAX_S,
    Quota,
    concurrent_quota,
    count_quota,
    money_nanousd,
    money_quota,
    window_name,
)
from policies.limits import EXACT_MAX
from policies.vocabulary import Period


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60/min", Quota(60, 60.0)),
        ("100k/min", Quota(100_000, 60.0)),
        ("1.5M/day", Quota(1_500_000, Period.DAY)),
        ("10/s", Quota(10, 1.0)),
        ("1000/2h", Quota(1000, 7200.0)),
        ("1G/month", Quota(10**9, Period.MONTH)),
        ("5 / 10min", Quota(5, 600.0)),
        ("7/week", Quota(7, Period.WEEK)),
        ("9007199254740991/s", Quota(EXACT_MAX - 1, 1.0)),
    ],
)
def test_counts_are_read_as_people_write_them(text: str, expected: Quota) -> None:
    assert count_quota(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20 USD/month", Quota(20 * 10**9, Period.MONTH)),
        ("$20/month", Quota(20 * 10**9, Period.MONTH)),
        ("5 USD/10min", Quota(5 * 10**9, 600.0)),
        ("20USD/day", Quota(20 * 10**9, Period.DAY)),
        ("$ 1.5k / week", Quota(1500 * 10**9, Period.WEEK)),
        ("$0.000000001/h", Quota(1, 3600.0)),
    ],
)
def test_money_is_read_as_people_write_it(text: str, expected: Quota) -> None:
    assert money_quota(text) == expected


@pytest.mark.parametrize(("value", "amount"), [(8, 8), ("8", 8), (EXACT_MAX - 1, EXACT_MAX - 1)])
def test_calls_at_once_are_a_number(value: object, amount: int) -> None:
    assert concurrent_quota(value) == Quota(amount, None)


TOO_MUCH = "is too much to be counted exactly: at most 9,007,199,254,740,991 (nano-USD for money)"
FORM = "must be an amount and a window such as"
UNIT = "has an unknown window: s, min or h with a number if need be, or day, week, month"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("100k/mn", f"{UNIT} (did you mean 'min'?)"),
        ("100k/m", f"{UNIT} (did you mean 'min'?)"),
        ("1/hour", f"{UNIT} (did you mean 'h'?)"),
        ("1/M", f"{UNIT} (did you mean 'month'?)"),
        ("1/fortnight", UNIT),
        ("1/", UNIT),
        ("1/min/s", UNIT),
        ("60/min\n", UNIT),
        ("-5/min", "must be more than 0"),
        ("0/min", "must be more than 0"),
        ("0.000/min", "must be more than 0"),
        ("1.5/min", "must not be finer than 1"),
        ("5/0s", "has a window that is not longer than 0 and at most 31 days (744h)"),
        ("5/745h", "has a window that is not longer than 0 and at most 31 days (744h)"),
        ("5/2day", "counts by whole calendar days: write /day, or hours such as /24h"),
        ("60", "has no window; write 60/min"),
        (60, "has no window; write 60/min"),
        ("5T/min", "has an unknown multiple: write k, M or G"),
        (f"{EXACT_MAX}/min", TOO_MUCH),
        (
            "9999999999999999G/s",
            "is too much to be counted exactly: at most 9,007,199,254,740,991 (nano-USD for money)",
        ),
        ("5 USD/day", "counts requests or tokens, not money; a limit on money is cost: 20 USD/month"),
        ("$5/day", "counts requests or tokens, not money; a limit on money is cost: 20 USD/month"),
        *((value, FORM) for value in ("", "x", None, True, [1], "1e5/min", "5kk/min", "10 rpm", "+5/m", "\u0665/s")),
    ],
)
def test_what_is_no_count_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        count_quota(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("20/month", "has no currency; write 20 USD/month or $20/month"),
        ("20 EUR/month", "counts in USD only; write 20 USD/month or $20/month"),
        ("$20 USD/month", "names its currency twice; write 20 USD/month or $20/month"),
        ("$20", "has no window; write 20 USD/month"),
        (20, "has no currency"),
        ("$0/month", "must be more than 0"),
        ("-5 USD/day", "must be more than 0"),
        ("$-5/day", "must be more than 0"),
        ("0.0000000001 USD/day", FORM),
        ("USD 5/day", FORM),
        ("$9.1M/day", "is too much to be counted exactly"),
    ],
)
def test_what_is_no_money_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        money_quota(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "must be more than 0"),
        (EXACT_MAX, "is too much to be counted exactly"),
        ("8/min", "must be a whole number such as 8; calls at once have no window"),
        *((value, "must be a whole number such as 8") for value in (-1, 1.5, True, None, "", "8 ", [8])),
    ],
)
def test_what_is_no_number_of_calls_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        concurrent_quota(value)


@given(st.integers(1, 10**6), st.integers(1, 999_999), st.sampled_from(sorted(RATE_UNITS)))
def test_a_rate_is_its_amount_over_its_window(amount: int, number: int, unit: str) -> None:
    window_s = number * RATE_UNITS[unit]
    if window_s > WINDOW_MAX_S:
        with pytest.raises(ValueError, match="31 days"):
            count_quota(f"{amount}/{number}{unit}")
    else:
        found = count_quota(f"{amount}/{number}{unit}")
        assert found == (amount, window_s)
        assert count_quota(f"1/{window_name(window_s)}").window == window_s


@pytest.mark.parametrize(
    ("window", "name"),
    [(1.0, "s"), (90.0, "90s"), (60.0, "min"), (600.0, "10min"), (7200.0, "2h"), (Period.WEEK, "week")],
)
def test_windows_are_named_by_their_largest_unit(window: float | Period, name: str) -> None:
    assert window_name(window) == name


@given(st.text(max_size=20))
def test_no_text_breaks_them(text: str) -> None:
    for read in (count_quota, money_quota, concurrent_quota):
        try:
            found = read(text)
        except ValueError:
            continue
        assert 0 < found.amount < EXACT_MAX


@pytest.mark.parametrize(
    ("text", "nanousd"), [("0.02 USD", 20_000_000), ("$0.02", 20_000_000), ("$ 1", 10**9), ("0.000000001 USD", 1)]
)
def test_an_amount_of_money_is_read_to_the_nano_dollar(text: str, nanousd: int) -> None:
    assert money_nanousd(text) == nanousd


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.02", "has no currency; write 0.02 USD or $0.02"),
        (0.02, "has no currency; write 0.02 USD or $0.02"),
        ("0.02 EUR", "counts in USD only; write 0.02 USD or $0.02"),
        ("$1 USD", "names its currency twice; write 0.02 USD or $0.02"),
        ("1 USD/day", "is an amount for one call and has no window; write 0.02 USD"),
        ("$0", "must be more than 0"),
        ("0.0000000001 USD", "must be an amount such as 0.02 USD or $0.02"),
        (None, "must be an amount such as 0.02 USD or $0.02"),
    ],
)
def test_what_is_no_amount_of_money_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        money_nanousd(value)
