from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llama_cpp_job import Place
from adapters.llama_cpp_place import WEIGHT_MAX, WEIGHT_MIN, decode_place, encode_place
from adapters.schema import InvalidRequest

TOLD = encode_place(Place("acme/shop", 1.0, 1, "acme", 2.5), "a secret")


@given(
    st.builds(
        Place,
        flow=st.text(max_size=50),
        weight=st.floats(allow_nan=False, min_value=0.0),
        priority=st.integers(0, 3),
        scope=st.text(max_size=50),
        patience_s=st.floats(allow_nan=False),
    ),
    st.text(max_size=100),
)
def test_every_place_comes_over_within_bounds(place: Place, secret: str) -> None:
    text = encode_place(place, secret)
    found = decode_place(text)
    assert WEIGHT_MIN <= found.weight <= WEIGHT_MAX
    assert found.weight == pytest.approx(min(WEIGHT_MAX, max(WEIGHT_MIN, place.weight)), abs=0.001)
    assert found.priority == place.priority
    assert 0.0 <= found.patience_s <= 999_999.0
    assert len(found.flow) == len(found.scope) == 32
    assert encode_place(place, secret) == text


def test_names_are_told_apart_by_who_shares_the_secret_alone() -> None:
    one = decode_place(TOLD)
    other = decode_place(encode_place(Place("acme/shop", 1.0, 1, "acme", 2.5), "another secret"))
    assert one.flow != other.flow
    assert one.scope != other.scope
    same = decode_place(encode_place(Place("x", scope="x"), ""))
    assert same.flow != same.scope
    assert "acme" not in TOLD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flow=acme",
        TOLD + "\n",
        TOLD + "; more=1",
        TOLD.upper(),
        TOLD.replace("priority=1", "priority=9"),
        TOLD.replace("weight=1.000", "weight=nan"),
        TOLD.replace("weight=1.000", "weight=99999.000"),
        TOLD.replace("patience=2.500", "patience=-1.000"),
        TOLD.replace("patience=2.500", "patience=\u0662.500"),
    ],
)
def test_what_no_gateway_wrote_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_place(text)
    assert refused.value.code == "invalid_header"
