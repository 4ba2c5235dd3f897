from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.patience import ELSEWHERE_MAX_S, ELSEWHERE_MIN_S, Outlook, first_token_s


@pytest.mark.parametrize(
    ("outlook", "expected_s"),
    [
        (Outlook(), 60.0),
        (Outlook(reasons=True), 300.0),
        (Outlook(late_s=50.0), 60.0),
        (Outlook(elsewhere=True), 10.0),
        (Outlook(late_s=0.2, elsewhere=True), 10.0),
        (Outlook(late_s=5.0, elsewhere=True), 20.0),
        (Outlook(late_s=500.0, elsewhere=True), 60.0),
        (Outlook(elsewhere=True, reasons=True), 60.0),
    ],
)
def test_patience(outlook: Outlook, expected_s: float) -> None:
    assert first_token_s(outlook) == expected_s


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_patience_grows_with_what_is_usual_and_stays_within_bounds(one_s: float, other_s: float) -> None:
    low, high = sorted((one_s, other_s))
    short_s, long_s = (first_token_s(Outlook(late_s=late_s, elsewhere=True)) for late_s in (low, high))
    assert ELSEWHERE_MIN_S <= short_s <= long_s <= ELSEWHERE_MAX_S
