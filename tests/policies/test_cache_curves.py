"""Curves: what more distance and more signs do to a risk."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.embedding.minilm import MiniLm
from policies.cache_curves import CAUTIOUS, PRIOR, SHIPPED, curve_of, risk_of
from policies.questions.signs import Signs


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_what_is_less_alike_is_never_less_risky(one: float, other: float) -> None:
    for curve in (*SHIPPED, CAUTIOUS):
        far, near = sorted((one, other))
        assert curve.log_odds(near, Signs()) <= curve.log_odds(far, Signs())


def test_a_cosine_rounded_above_one_is_one() -> None:
    assert CAUTIOUS.log_odds(1.0000002, Signs()) == CAUTIOUS.log_odds(1.0, Signs())


def test_an_unknown_embedder_gets_the_cautious_curve() -> None:
    assert curve_of("somebody-elses/model") is CAUTIOUS
    assert curve_of(SHIPPED[0].embedder + "-2") is CAUTIOUS


def test_the_bundled_embedder_has_a_curve_of_its_own() -> None:
    assert curve_of(MiniLm.id) is SHIPPED[0]


def test_the_guess_of_traffic_is_a_part_of_all_requests() -> None:
    assert 5_000 < sum(PRIOR) < 10_000
    assert min(PRIOR) >= 0


@pytest.mark.parametrize(("log_odds", "risk"), [(0.0, 0.5), (math.log(9.0), 0.9), (-1000.0, 0.0), (1000.0, 1.0)])
def test_odds_as_probabilities(log_odds: float, risk: float) -> None:
    assert risk_of(log_odds) == pytest.approx(risk)
