"""What the API's shapes let through, the store's do too, and the other way round: both mean the policy file's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.shapes import KeyToChange, KeyToCreate, OrgToCreate
from gateway.admin.shapes import given as fields_of
from gateway.state.keys.records import Invalid, KeyChange, NewKey
from gateway.state.keys.shapes import NewKeyShape, OrgShape, accepted

NAMES = st.text("aZ09._:@/-= \n\u00e9", max_size=4) | st.sampled_from(["a" * 100, "a" * 101])


def api_takes(shape: Any, values: dict[str, object]) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(values), type=shape)
    except msgspec.ValidationError:
        return False
    return True


def store_takes(shape: Any, values: dict[str, object]) -> bool:
    try:
        accepted(shape, values)
    except Invalid:
        return False
    return True


@given(st.fixed_dictionaries({"name": NAMES, "org": NAMES, "env": NAMES}, optional={"team": NAMES, "user": NAMES}))
def test_names_are_taken_by_both_or_neither(values: dict[str, object]) -> None:
    takes, stores = api_takes(KeyToCreate, values), store_takes(NewKeyShape, values)
    # A pattern's end lets a line break pass, which the store then refuses.
    assert takes == stores or any(str(value).endswith("\n") for value in values.values())
    assert takes >= stores


@pytest.mark.parametrize(
    "values",
    [
        {"tags": ["a=b", "x/y:z@w"]}, {"tags": ["-"]}, {"tags": ["a"] * 20}, {"tags": ["a"] * 21},
        {"routes": ["gpt-*"]}, {"routes": []}, {"routes": ["a b"]}, {"routes": ["x"] * 101}, {"networks": []},
        {"output_tokens_default": 0}, {"output_tokens_default": 10_000_000}, {"output_tokens_default": 10_000_001},
        {"not_before_ms": -1}, {"expires_at_ms": 253_402_300_799_999}, {"expires_at_ms": 253_402_300_800_000},
        {"priority": "critical"}, {"priority": "urgent"}, {"priority": None}, {"require_region": "eu-west-1"},
        {"require_region": "e u"}, {"require_data_classes": ["a"] * 20}, {"require_data_classes": ["a"] * 21},
        {"routes": None, "networks": None, "team": None},
        {"content": "none"}, {"content": "full"}, {"content": None}, {"content": "all"}, {"content": "Hash"},
        {"content": ["hash"]}, {"content": 0}, {"cost_in_body": True}, {"cost_in_body": "true"}, {"cost_in_body": None},
        {"trust_trace_context": False}, {"trust_trace_context": 1}, {"trust_trace_context": None},
    ],
)  # fmt: skip
def test_terms_are_taken_by_both_or_neither(values: dict[str, object]) -> None:
    whole = {"name": "a", "org": "default", "env": "live"} | values
    assert api_takes(KeyToCreate, whole) == store_takes(NewKeyShape, whole)


@pytest.mark.parametrize("weight", [0, 1, 1000, 1001])
def test_weights_are_taken_by_both_or_neither(weight: int) -> None:
    values = {"name": "a", "timezone": "UTC", "weight": weight}
    assert api_takes(OrgToCreate, values) == store_takes(OrgShape, values)


def test_what_is_absent_stays_and_what_is_null_goes() -> None:
    change = msgspec.json.decode(b'{"team": null, "tags": ["a"]}', type=KeyToChange)
    assert fields_of(change) == {"team": None, "tags": ("a",)}
    assert set(KeyToChange.__struct_fields__) == set(KeyChange.__struct_fields__) - {"disabled"}
    assert set(KeyToCreate.__struct_fields__) == set(NewKey.__struct_fields__)
