"""The bar, the account and the verdict: what is promised of them for every traffic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cache_curves import CAUTIOUS, Curve, risk_of
from policies.caching import NOTHING, Candidate, Experience, Verdict, decide
from policies.questions.signs import Signs, Veto

CURVE = Curve("test", at_one=-5.0, per_distance=20.0)

similarities = st.floats(-1.0, 1.0)
candidates = st.lists(
    st.builds(
        Candidate,
        similarities,
        st.sampled_from((Signs(), Signs(), Signs(Veto.NUMBERS))),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    max_size=5,
)
budgets = st.floats(0.0, 1.0)


@st.composite
def experiences(draw: st.DrawFn) -> Experience:
    experience = Experience()
    for similarity in draw(st.lists(st.floats(0.5, 1.0), max_size=30)):
        verdict = decide([Candidate(similarity, Signs())], CURVE, experience, draw(budgets), 0.0)
        experience = experience.after(verdict)
    for similarity, wrong in draw(st.lists(st.tuples(st.floats(0.8, 1.0), st.booleans()), max_size=10)):
        experience = experience.labelled(CURVE.log_odds(similarity, Signs()), wrong=wrong)
    return experience.reported() if draw(st.booleans()) else experience


@given(candidates, experiences(), budgets, budgets)
def test_a_larger_budget_never_serves_less(
    some: list[Candidate], experience: Experience, one: float, other: float
) -> None:
    smaller, larger = sorted((one, other))
    less, more = (decide(some, CURVE, experience, budget, 0.0) for budget in (smaller, larger))
    assert less.bar <= more.bar
    assert more.serves or not less.serves


@given(candidates, experiences(), budgets)
def test_the_least_risky_candidate_without_a_veto_is_the_one(
    some: list[Candidate], experience: Experience, budget: float
) -> None:
    verdict = decide(some, CURVE, experience, budget, 0.0)
    free = [index for index, one in enumerate(some) if one.signs.veto is None]
    assert verdict.best in free if free else verdict.best is None
    for index in free:
        assert verdict.risk <= decide([some[index]], CURVE, experience, budget, 0.0).risk


@given(experiences(), budgets)
def test_what_is_served_is_at_most_as_risky_as_the_bar(experience: Experience, budget: float) -> None:
    verdict = decide([Candidate(0.97, Signs())], CURVE, experience, budget, 0.0)
    assert not verdict.serves or verdict.risk <= verdict.bar


@given(st.lists(st.floats(0.5, 1.0), max_size=300), st.floats(0.001, 0.1))
def test_no_stream_spends_more_than_its_requests_pay_for(stream: list[float], budget: float) -> None:
    experience, spent = Experience(), 0.0
    for similarity in stream:
        verdict = decide([Candidate(similarity, Signs())], CURVE, experience, budget, 0.0)
        spent += verdict.risk if verdict.serves else 0.0
        experience = experience.after(verdict)
    assert spent <= budget * (len(stream) + 100) + 1e-9


def test_without_a_candidate_nothing_is_served() -> None:
    verdict = decide([], CURVE, Experience(), 1.0, 1.0)
    assert verdict == Verdict(None, NOTHING, verdict.bar)


def test_a_veto_forbids_whatever_the_similarity() -> None:
    verdict = decide([Candidate(1.0, Signs(Veto.NUMBERS))], CURVE, Experience(), 1.0, 1.0)
    assert (verdict.best, verdict.serves, verdict.doubtful, verdict.veto) == (None, False, False, Veto.NUMBERS)


def test_what_is_above_the_bar_is_doubtful_up_to_the_judges_bound() -> None:
    doubtful = [Candidate(0.85, Signs())]
    assert decide(doubtful, CURVE, Experience(), 0.001, 0.6).doubtful
    assert not decide(doubtful, CURVE, Experience(), 0.001, 0.1).doubtful
    assert not decide(doubtful, CURVE, Experience(), 0.001, 0.0).doubtful


def test_an_entry_that_was_found_bad_is_riskier() -> None:
    fresh, bad = (decide([Candidate(0.95, Signs(), bad=bad)], CURVE, Experience(), 0.01, 0.0).risk for bad in (0, 2))
    assert bad > 3 * fresh


def test_good_words_lower_an_entrys_risk_to_a_third_at_most() -> None:
    fresh, praised = (
        decide([Candidate(0.9, Signs(), good=good)], CURVE, Experience(), 0.01, 0.0).risk for good in (0, 10_000)
    )
    assert praised == pytest.approx(fresh / 3)


def test_where_no_curve_was_measured_only_what_is_all_but_equal_is_safe() -> None:
    assert risk_of(CAUTIOUS.log_odds(0.97, Signs())) > 0.5
    assert risk_of(CAUTIOUS.log_odds(1.0, Signs())) < 0.02


def test_odds_beyond_all_numbers_are_no_risk() -> None:
    assert risk_of(-math.inf) == 0.0


def test_the_bar_by_the_curve_falls_with_each_report() -> None:
    """Where the bar itself may be a larger number, of larger risks."""
    experience, bars = Experience(), []
    for _ in range(8):
        experience = experience.after(Verdict(0, 0.02, 0.1, serves=True, log_odds=-3.9))
    for _ in range(6):
        bars.append(experience.bar_by_curve(0.02))
        experience = experience.reported()
    assert bars[0] == pytest.approx(Experience().bar_by_curve(0.02), rel=0.5)
    assert bars == sorted(bars, reverse=True)
    assert bars[-1] < bars[0] / 3
