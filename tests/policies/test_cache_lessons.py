"""What labels do to the factor that risks are corrected by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.cache_lessons import HIGHEST, LOWEST, Lessons

AT_FIVE_PERCENT = -2.944


def taught(good: int, wrong: int, log_odds: float = AT_FIVE_PERCENT) -> Lessons:
    lessons = Lessons()
    for number in range(good + wrong):
        lessons = lessons.labelled(log_odds, wrong=number < wrong)
    return lessons.settled(0.0)


def test_before_labels_the_shipped_curve_is_what_counts() -> None:
    assert Lessons().settled(0.0).shift == 0


def test_two_wrong_hits_are_enough_to_tighten() -> None:
    assert taught(0, 2).shift >= 4


def test_a_dozen_good_ones_change_little_and_hundreds_much() -> None:
    assert -2 <= taught(12, 0).shift <= 0
    assert taught(400, 0).shift <= -6


def test_as_many_wrong_as_foretold_leave_it_near_where_it_was() -> None:
    assert abs(taught(475, 25).shift) <= 3


def test_labels_of_what_is_never_served_say_nothing_of_hits() -> None:
    assert Lessons().labelled(0.5, wrong=True) == Lessons()


@given(st.lists(st.tuples(st.floats(-9.0, 3.0), st.booleans()), max_size=40), st.floats(-9.0, 3.0))
def test_one_more_wrong_label_never_loosens(labels: list[tuple[float, bool]], log_odds: float) -> None:
    lessons = Lessons()
    for odds, wrong in labels:
        lessons = lessons.labelled(odds, wrong=wrong)
    worse, better = (lessons.labelled(log_odds, wrong=wrong).settled(0.0).shift for wrong in (True, False))
    assert LOWEST <= better <= worse <= HIGHEST


@given(st.integers(0, 200), st.floats(0.0, 500.0))
def test_reports_of_callers_only_tighten(reports: int, expected: float) -> None:
    lessons = Lessons(reports=float(reports))
    assert lessons.settled(expected).shift >= 0


def test_as_many_reports_as_expected_say_nothing_and_more_say_much() -> None:
    assert Lessons(reports=10.0).settled(10.0).shift <= 4
    assert Lessons(reports=40.0).settled(10.0).shift >= 8


def test_what_was_learnt_long_ago_is_outweighed() -> None:
    lessons = taught(3000, 0)
    for _ in range(60):
        lessons = lessons.labelled(AT_FIVE_PERCENT, wrong=True)
    assert lessons.settled(0.0).shift > 0
