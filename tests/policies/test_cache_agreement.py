"""Answers that clearly say the same, clearly do not, and all others, of which nothing is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cache_agreement import OTHER_BELOW, SAME_AT, agree

COSINES = st.none() | st.floats(-1, 1)


@pytest.mark.parametrize(
    ("one", "other", "cosine", "verdict"),
    [
        ("Open Settings.", "open  settings", None, True),
        ("**Open** Settings!", "Open settings", None, True),
        ("You have 30 days.", "Within 30 days.", SAME_AT, True),
        ("You have 30 days.", "Within 30 days.", SAME_AT - 0.01, None),
        ("You have 30 days.", "Within 30 days.", None, None),
        ("You have 30 days.", "You have 14 days.", 0.99, False),
        ("You have 30 days.", "You have 30 days, 5 by mail.", 0.99, None),
        ("You have thirty days.", "You have 30 days.", 0.99, None),
        ("1. Open Settings\n2. Cancel", "Open Settings, then Cancel", 0.95, True),
        ("It is 3.5 km.", "It is 35 km.", 0.99, False),
        ("Yes, you can.", "No, you can not.", 0.99, False),
        ("Ja, das geht.", "Nein, das geht nicht.", 0.99, False),
        ("Yes, you can.", "Yes. Open Settings.", 0.95, True),
        ("Open Settings.", "The moon is far.", OTHER_BELOW - 0.01, False),
        ("Open Settings.", "The moon is far.", 0.7, None),
        ("", "", None, True),
    ],
)
def test_pairs(one: str, other: str, cosine: float | None, verdict: bool | None) -> None:  # noqa: FBT001 - a column
    assert agree(one, other, cosine) is verdict
    assert agree(other, one, cosine) is verdict


@given(st.text(), st.text(), COSINES)
def test_which_comes_first_is_no_matter(one: str, other: str, cosine: float | None) -> None:
    assert agree(one, other, cosine) is agree(other, one, cosine)
    assert agree(one, one, cosine) is True


@given(st.text(), st.text(), st.floats(-1, 1), st.floats(-1, 1))
def test_nearer_vectors_never_make_answers_differ(one: str, other: str, low: float, high: float) -> None:
    order = {False: 0, None: 1, True: 2}
    low, high = sorted((low, high))

    assert order[agree(one, other, low)] <= order[agree(one, other, high)]


def test_long_answers_are_compared_by_their_beginnings() -> None:
    assert agree("a " * 20_000, "a " * 30_000) is True
