from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.guessing import MOST_GUESSES, StepCost, Trust, fitted_cost, guesses_worth, learn

CPU = StepCost(pass_s=0.003, row_s=0.003)
GPU = StepCost(pass_s=0.006, row_s=0.00005)
COSTS = st.builds(StepCost, st.floats(1e-4, 0.1), st.floats(0.0, 0.1))


def trusted(share: float) -> Trust:
    return Trust(right=share * 20, tried=18.0)


def learnt(*held: bool) -> Trust:
    trust = Trust()
    for one in held:
        trust = learn(trust, held=one)
    return trust


def test_nothing_is_guessed_before_anything_was_learnt() -> None:
    assert guesses_worth(Trust(), 1, GPU, in_one_pass=True) == 0


def test_a_run_of_right_guesses_builds_trust_and_wrong_ones_destroy_it() -> None:
    good = learnt(*[True] * 60)
    spoilt = learnt(*[True] * 60, *[False] * 20)
    assert good.share > 0.85
    assert spoilt.share < 0.5


def test_rows_that_cost_nothing_are_filled_with_guesses() -> None:
    assert guesses_worth(trusted(0.9), 1, GPU, in_one_pass=True) == MOST_GUESSES


def test_rows_that_cost_as_much_as_a_pass_need_more_trust() -> None:
    assert guesses_worth(trusted(0.5), 1, CPU, in_one_pass=True) == 0
    assert guesses_worth(trusted(0.95), 1, CPU, in_one_pass=True) > 0


def test_a_crowd_is_not_delayed_for_one() -> None:
    assert guesses_worth(trusted(0.9), 1, CPU, in_one_pass=False) >= 0
    assert guesses_worth(trusted(0.9), 16, CPU, in_one_pass=False) == 0


@given(st.floats(0, 1), st.integers(1, 32), COSTS, st.booleans())
def test_guessing_is_expected_to_gain_wherever_it_is_done(
    share: float,
    writers: int,
    cost: StepCost,
    in_one_pass: bool,  # noqa: FBT001 - Hypothesis passes by position
) -> None:
    guesses = guesses_worth(trusted(share), writers, cost, in_one_pass=in_one_pass)
    expected = writers + sum(trusted(share).share ** number for number in range(1, guesses + 1))
    without = writers / cost.step_s(writers, 0, in_one_pass=in_one_pass)
    assert 0 <= guesses <= MOST_GUESSES
    assert expected / cost.step_s(writers, guesses, in_one_pass=in_one_pass) >= without * (1.0 - 1e-9)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 32), COSTS)
def test_more_trust_never_guesses_less(one: float, other: float, writers: int, cost: StepCost) -> None:
    low, high = sorted((one, other))
    assert guesses_worth(trusted(low), writers, cost, in_one_pass=True) <= guesses_worth(
        trusted(high), writers, cost, in_one_pass=True
    )


@given(COSTS, st.sets(st.integers(1, 64), min_size=2, max_size=8))
def test_a_straight_line_is_found_again(cost: StepCost, sizes: set[int]) -> None:
    found = fitted_cost({rows: cost.step_s(rows, 0, in_one_pass=True) for rows in sizes})
    assert found is not None
    assert abs(found.row_s - cost.row_s) < 1e-6
    assert abs(found.pass_s - cost.pass_s) < 1e-5


def test_one_size_alone_tells_no_line() -> None:
    assert fitted_cost({4: 0.01}) is None


def test_times_that_fall_with_size_do_not_make_rows_free_of_a_pass() -> None:
    found = fitted_cost({1: 0.02, 8: 0.01})
    assert found is not None
    assert found.row_s == 0.0
    assert found.pass_s > 0.0
