from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.usd import usd_text, usd_text_of_femto


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "0"), (1, "0.000000001"), (123_000, "0.000123"), (10**9, "1"), (1_500_000_000, "1.5"), (10**12, "1000"),
     (10**18 + 1, "1000000000.000000001"), (-500_000_000, "-0.5")],
)  # fmt: skip
def test_amounts_are_written_out(nanousd: int, text: str) -> None:
    assert usd_text(nanousd) == text


@pytest.mark.parametrize(
    ("femtousd", "text"),
    [(0, "0"), (1, "0.000000000000001"), (10**15, "1"), (1_234 * 10**12, "1.234"), (-5 * 10**14, "-0.5")],
)
def test_so_are_parts_of_them(femtousd: int, text: str) -> None:
    assert usd_text_of_femto(femtousd) == text


@given(st.integers(-(10**20), 10**20))
def test_nothing_is_lost_on_the_way(amount: int) -> None:
    assert Decimal(usd_text(amount)).scaleb(9) == amount
    assert Decimal(usd_text_of_femto(amount)).scaleb(15) == amount
