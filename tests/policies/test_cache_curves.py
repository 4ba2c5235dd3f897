"""Curves: what more distance and more signs do to a risk."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cache_curves import CAUTIOUS, SHIPPED, curve_of, risk_of
from policies.cache_signs import Signs


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_what_is_less_alike_is_never_less_risky(one: float, other: float) -> None:
    for curve in (*SHIPPED, CAUTIOUS):
        far, near = sorted((one, other))
        assert curve.log_odds(near, Signs()) <= curve.log_odds(far, Signs())


def test_a_cosine_rounded_above_one_is_one() -> None:
    assert CAUTIOUS.log_odds(1.0000002, Signs()) == CAUTIOUS.log_odds(1.0, Signs())


def test_an_unknown_embedder_gets_the_cautious_curve() -> None:
    assert curve_of("somebody-elses/model") is CAUTIOUS
    assert curve_of(SHIPPED[0].embedder + "/int8-1") is SHIPPED[0]


@pytest.mark.parametrize(("log_odds", "risk"), [(0.0, 0.5), (math.log(9.0), 0.9), (-1000.0, 0.0), (1000.0, 1.0)])
def test_odds_as_probabilities(log_odds: float, risk: float) -> None:
    assert risk_of(log_odds) == pytest.approx(risk)
