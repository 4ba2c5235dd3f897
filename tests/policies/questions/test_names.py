from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.questions.names import Named, is_slip, named
from policies.questions.reading import read


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Do you deliver to Hackney?", "Do you deliver to Hounslow?", Named(2, 1)),
        ("Who runs the firm Acme?", "Who runs the firm?", Named(1, 0)),
        ("Is it open in Paris?", "is it open in paris", Named()),
        ("What did the UN decide?", "What did the United Nations decide?", Named(2, 0)),
        ("Do you open on Tuesdays in Camden?", "Do you open on Tuesdays in Camdem?", Named()),
        ("Is Austria small?", "Where is Australia then?", Named(2, 1)),
        ("IS IT OPEN IN PARIS NOW DEAR FRIEND", "is it open in rome now dear friend", Named()),
        ("Paris is open", "Rome is open", Named()),
    ],
)
def test_names_of_one_side_only(one: str, other: str, expected: Named) -> None:
    assert named(read(one), read(other)) == expected


@pytest.mark.parametrize(
    ("one", "other"), [("mondai", "mondi"), ("london", "lodnon"), ("brit", "british"), ("camden", "camdem")]
)
def test_slips(one: str, other: str) -> None:
    assert is_slip(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("austria", "australia"), ("cat", "car"), ("london", "lisbon"), ("hackney", "hounslow")]
)
def test_other_names_are_no_slips(one: str, other: str) -> None:
    assert not is_slip(one, other)


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_a_slip_is_one_either_way(one: str, other: str) -> None:
    assert one == other or is_slip(one, other) == is_slip(other, one)
