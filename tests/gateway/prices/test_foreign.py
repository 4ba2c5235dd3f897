from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.prices.foreign import LACKS_MAX, lacking, rate, text


@pytest.mark.parametrize(
    ("value", "shares", "expected"),
    [
        (3, {}, "3"),
        (Decimal("0.0000025"), {"times": 1_000_000}, "2.5"),
        (10, {"divided_by": 1000}, "0.01"),
        (0.1, {}, "0.1"),
        (Decimal("1E-12"), {}, "0"),
        (0, {}, "0"),
        (10_000, {}, "10000"),
    ],
)
def test_rates_are_exact_to_the_nano_dollar(value: object, shares: dict[str, int], expected: str) -> None:
    assert f"{rate(value, 'x', **shares):f}" == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "x is negative"),
        (Decimal("-1E-99"), "x is negative"),
        (Decimal("NaN"), "x is negative or no amount"),
        (Decimal("Infinity"), "x is negative or no amount"),
        (float("inf"), "x is negative or no amount"),
        (Decimal("1E999999"), "x is absurd"),
        (10_001, "x is absurd"),
        (True, "x is no number"),
        ("3", "x is no number"),
        (None, "x is no number"),
        ({}, "x is no number"),
    ],
)
def test_what_no_rate_can_be_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate(value, "x")


def test_a_rate_per_token_is_absurd_by_the_million() -> None:
    with pytest.raises(ValueError, match="absurd"):
        rate(1, "x", times=1_000_000)


@pytest.mark.parametrize("value", ["", "x" * 201, "a\nb", "a\x1b[31m", 5, None, ["a"]])
def test_what_no_name_can_be_is_refused_without_being_shown(value: object) -> None:
    with pytest.raises(ValueError, match=r"^evil\\x1b is not a name") as raised:
        text(value, "evil\x1b")
    assert "\x1b" not in str(raised.value)


def test_what_lines_lack_is_named_in_few_plain_words() -> None:
    assert lacking(["b", "a", "<script>", "x" * 61]) == ("a", "b")
    assert len(lacking(f"k{number}" for number in range(99))) == LACKS_MAX
