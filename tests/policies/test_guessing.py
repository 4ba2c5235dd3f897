from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.guessing import GUESSES, MOST_GUESSES, NOTHING, Able, Plan, Trust, call_s, learn, plan_guesses

# Milliseconds by rows of a small model on one core of a processor, and on a device where rows are all but free.
CPU = {1: 19.0, 2: 22.0, 4: 24.0, 8: 40.0, 16: 80.0, 86: 211.0}
GPU = {1: 6.0, 8: 6.3, 32: 7.5, 512: 40.0}
ABLE = st.builds(Able, st.integers(0, 15), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
TIMES = st.dictionaries(st.integers(1, 200), st.floats(1e-3, 1.0), max_size=6)


def sure(*slots: int, chance: float = 0.9) -> list[Able]:
    return [Able(slot, chance, chance, MOST_GUESSES) for slot in slots]


def learnt(*held: bool) -> Trust:
    trust = Trust()
    for one in held:
        trust = learn(trust, held=one)
    return trust


def plan(writers: int, able: list[Able], times_s: dict[int, float], *, is_mixed: bool = False) -> Plan:
    return plan_guesses(range(writers), able, times_s, 9 * writers, is_mixed=is_mixed)


def test_a_run_of_right_guesses_builds_trust_and_wrong_ones_destroy_it() -> None:
    assert learnt().share == 0.0
    assert learnt(*[True] * 60).share > 0.85
    assert learnt(*[True] * 60, *[False] * 20).share < 0.5


def test_what_is_expected_of_guesses_is_a_sum_of_chances() -> None:
    assert Able(0, 0.5, 0.9, 7).expected(3) == pytest.approx(0.5 + 0.5 * 0.9 + 0.5 * 0.9 * 0.9)
    assert Able(0, 1.0, 1.0, 7).expected(3) == 3.0


def test_a_likely_repetition_is_guessed() -> None:
    assert plan(1, sure(0, chance=0.99), CPU) == Plan(frozenset({0}), 7)
    assert plan(1, sure(0, chance=0.6), CPU) == Plan(frozenset({0}), 3)


def test_nothing_is_guessed_without_trust_or_numbers() -> None:
    assert plan(1, sure(0, chance=0.1), CPU) == NOTHING
    assert plan(1, sure(0), {}) == NOTHING
    assert plan(1, sure(0), {1: 6.0}) == NOTHING
    assert plan(3, [], CPU) == NOTHING


def test_a_crowd_is_not_delayed_for_one() -> None:
    """Its guesses would need a pass of their own; where rows are free they are made all the same."""
    assert plan(16, sure(3), CPU) == NOTHING
    assert plan(4, sure(3), GPU, is_mixed=True) == Plan(frozenset({3}), 7)


def test_all_guess_together_where_that_pays() -> None:
    assert plan(4, sure(0, 1, 2, 3, chance=0.99), {**CPU, 16: 59.0, 32: 105.0}) == Plan(frozenset(range(4)), 7)


def test_no_more_is_guessed_than_is_wanted() -> None:
    assert plan(1, [Able(0, 1.0, 1.0, 5)], GPU).guesses == 3
    assert plan(1, [Able(0, 1.0, 1.0, 0)], GPU) == NOTHING


def test_times_lie_on_the_lines_through_what_was_measured() -> None:
    assert call_s({1: 1.0, 5: 3.0, 9: 3.5}, 3) == pytest.approx(2.0)
    assert call_s({1: 1.0, 5: 3.0, 9: 3.5}, 5) == 3.0
    assert call_s({1: 1.0, 5: 3.0, 9: 3.5}, 17) == pytest.approx(4.5)
    assert call_s({2: 1.0, 4: 2.0}, 1) == pytest.approx(0.5)
    assert call_s({1: 2.0, 8: 1.0}, 4) == 2.0


@given(st.integers(1, 16), st.lists(ABLE, max_size=8, unique_by=lambda one: one.slot), TIMES, st.booleans())
def test_plans_keep_their_limits(
    writers: int,
    able: list[Able],
    times_s: dict[int, float],
    is_mixed: bool,  # noqa: FBT001 - Hypothesis passes by position
) -> None:
    able = [one for one in able if one.slot < writers]
    slots, guesses = plan_guesses(range(writers), able, times_s, 40, is_mixed=is_mixed)
    most = {one.slot: one.most for one in able}
    assert guesses in (0, *GUESSES)
    assert bool(slots) is bool(guesses)
    assert all(guesses <= most[slot] for slot in slots)
    assert not slots or writers + len(slots) * guesses <= 40


@given(st.integers(1, 16), st.lists(ABLE, min_size=1, max_size=8, unique_by=lambda one: one.slot))
def test_guessing_is_expected_to_gain_wherever_it_is_done(writers: int, able: list[Able]) -> None:
    able = [one for one in able if one.slot < writers]
    slots, guesses = plan_guesses(range(writers), able, GPU, 200, is_mixed=True)
    expected = writers + sum(one.expected(guesses) for one in able if one.slot in slots)
    usual_s, step_s = call_s(GPU, writers), call_s(GPU, writers + len(slots) * guesses)
    assert usual_s is not None
    assert step_s is not None
    assert expected / step_s >= writers / usual_s * (1.0 if slots else 1.0 - 1e-9)
