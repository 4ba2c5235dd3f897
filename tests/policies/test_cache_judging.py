from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.cache_curves import risk_of
from policies.cache_judging import YES_LOG_ODDS, after_yes
from policies.caching import Experience, Verdict


def doubtful(log_odds: float, bar: float = 0.02) -> Verdict:
    return Verdict(0, risk_of(log_odds), bar, doubtful=True, log_odds=log_odds)


def test_a_yes_makes_a_likely_candidate_one_that_is_served() -> None:
    found = after_yes(doubtful(-1.5), Experience(), 0.02)
    assert found.serves
    assert not found.doubtful
    assert found.risk == risk_of(-1.5 + YES_LOG_ODDS) < 0.02


def test_a_yes_to_what_is_all_but_surely_wrong_serves_nothing() -> None:
    assert not after_yes(doubtful(3.0), Experience(), 0.02).serves


@given(st.floats(-6.0, 6.0), st.integers(0, 400), st.floats(0.001, 0.2))
def test_what_judges_let_through_is_paid_from_the_same_account(log_odds: float, asked: int, budget: float) -> None:
    experience = Experience()
    for _ in range(asked):
        experience = experience.after(after_yes(doubtful(log_odds), experience, budget))
    assert experience.spent <= budget * (experience.requests + 100.0) + 1e-9
