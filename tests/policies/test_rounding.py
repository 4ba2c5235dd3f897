from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rounding import half_even


@pytest.mark.parametrize(
    ("numerator", "rounded"), [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2)]
)
def test_halves_go_to_the_even_number(numerator: int, rounded: int) -> None:
    assert half_even(numerator, 2) == rounded


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_it_rounds_as_exact_fractions_do(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))
