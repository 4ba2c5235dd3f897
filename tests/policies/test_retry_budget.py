from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.retry_budget import CREDITS_MAX, CREDITS_PER_S, RetryBudget, deposit, may_repeat, withdraw


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(0, 3)), max_size=400))
def test_second_tries_stay_within_their_share(calls: list[tuple[float, int]]) -> None:
    """Each call wants to try again as often as it can; the budget holds over the whole run."""
    budget, now, repeats = RetryBudget(), 0.0, 0
    for pause_s, wanted in calls:
        now += pause_s
        budget = deposit(budget, now)
        for _ in range(wanted):
            if may_repeat(budget, now):
                budget = withdraw(budget, now)
                repeats += 1
    assert repeats <= CREDITS_PER_S + 0.2 * len(calls) + CREDITS_PER_S * now + 1e-6
    assert 0.0 <= budget.credits <= CREDITS_MAX


def test_an_outage_at_high_rate_costs_a_fifth_more() -> None:
    budget, repeats, calls = RetryBudget(), 0, 100_000
    for number in range(calls):
        now = number / 1000
        budget = deposit(budget, now)
        if may_repeat(budget, now):
            budget = withdraw(budget, now)
            repeats += 1
    assert 0.2 * calls <= repeats <= 0.22 * calls


def test_a_quiet_gateway_can_always_try_again() -> None:
    budget = RetryBudget(credits=0.0, at_s=100.0)
    assert not may_repeat(budget, 100.0)
    assert may_repeat(budget, 100.2)


def test_a_clock_that_steps_back_gives_nothing() -> None:
    budget = withdraw(RetryBudget(credits=1.0, at_s=100.0), 50.0)
    assert budget == RetryBudget(credits=0.0, at_s=100.0)
    assert not may_repeat(budget, 99.0)
