"""Curves from observations whose truth is known."""

from __future__ import annotations

import random

import pytest

from policies.cache_curves import SHIPPED, Curve, risk_of
from policies.cache_fitting import Observation, TooFewError, fit
from policies.questions.signs import Signs, Veto

TRUTH = Curve("true", at_one=-5.0, per_distance=18.0, per_next=1.0, per_sign=(("renamed", 1.5), ("brief", 1.0)))
START = Curve("", at_one=-4.0, per_distance=10.0)


def observed(count: int, seed: int = 7) -> list[Observation]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        similarity, following = rng.uniform(0.7, 1.0), rng.uniform(0.3, 0.95)
        signs = Signs(renamed=float(rng.random() < 0.2), brief=rng.uniform(0.1, 0.5))
        wrong = rng.random() < risk_of(TRUTH.log_odds(similarity, signs, following))
        found.append(Observation(similarity, signs, following, wrong))
    return found


def test_the_truth_is_found_again_where_hits_are() -> None:
    fitted = fit("mine", observed(6000), START, signs=("renamed", "brief"))
    assert fitted.curve.embedder == "mine"
    assert 0.0 < fitted.margin < 0.2
    for similarity in (0.9, 0.95, 0.99):
        true, found = (curve.log_odds(similarity, Signs(brief=0.2), 0.7) for curve in (TRUTH, fitted.curve))
        assert found == pytest.approx(true, abs=0.4)


def test_few_observations_leave_the_curve_near_where_it_started() -> None:
    right = [Observation(0.97, Signs(), 0.5, wrong=number % 25 == 0) for number in range(250)]
    curve = fit("mine", right, SHIPPED[0]).curve
    assert curve.per_distance == pytest.approx(SHIPPED[0].per_distance, rel=0.2)
    assert dict(curve.per_sign) == pytest.approx(dict(SHIPPED[0].per_sign), abs=0.2)


def test_a_sign_that_only_wrong_ones_have_gets_no_boundless_weight() -> None:
    some = [*observed(1000), *(Observation(0.95, Signs(renamed=1.0), 0.5, wrong=True) for _ in range(100))]
    assert 0.0 < dict(fit("mine", some, START).curve.per_sign)["renamed"] < 8.0


def test_more_danger_gives_a_riskier_curve() -> None:
    calm = observed(2000)
    grave = [one._replace(wrong=one.wrong or number % 10 == 0) for number, one in enumerate(calm)]
    calm_risk, grave_risk = (
        risk_of(fit("mine", some, START).curve.log_odds(0.95, Signs(), 0.7)) for some in (calm, grave)
    )
    assert grave_risk > 1.5 * calm_risk


@pytest.mark.parametrize(
    "some",
    [
        [],
        observed(150),
        [Observation(0.9, Signs(), 0.5, wrong=False)] * 1000,
        [Observation(0.9, Signs(Veto.NUMBERS), 0.5, wrong=True)] * 1000,
    ],
)
def test_too_little_is_refused(some: list[Observation]) -> None:
    with pytest.raises(TooFewError):
        fit("mine", some, START)
