"""The same meaning, the same bytes; another meaning, other bytes; two meanings, none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cache_normal import Unclear, read, write

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def normal(text: str | bytes) -> bytes:
    return write(read(text.encode() if isinstance(text, str) else text))


def turned(value: Any) -> Any:
    """The same with the members of every object the other way round."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


def told(value: Any) -> Any:
    """A value in which 1 and 1.0 are the same, but 1 and true are not."""
    if isinstance(value, dict):
        return {name: told(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [told(item) for item in value]
    return (type(value) is bool, value)


@given(VALUES)
def test_spacing_escapes_and_order_mean_nothing(value: Any) -> None:
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    assert normal(json.dumps(turned(value), indent=3)) == normal(plain)


@given(VALUES, VALUES)
def test_other_values_are_other_bytes(one: Any, other: Any) -> None:
    assert (normal(json.dumps(one)) == normal(json.dumps(other))) is (told(one) == told(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("100", "1e2"),
        ("0", "-0.0"),
        ("0.10", "1E-1"),
        ("-2.50", "-25e-1"),
        ("[1.0]", "[1]"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.1", "0.10000000000000000001"),
        ("9007199254740993", "9007199254740992"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("1e999999999999999999999", "1e999999999999999999998"),
        ("1e400", "1e401"),
        ("4e-324", "5e-324"),
        ("1e-400", "0"),
        ("1e23", "99999999999999991611392"),
        ("0.123456789012345", "0.1234567890123451"),
        ("1.5", '"1.5"'),
        ("1", "true"),
        ("0", "false"),
        ("[1,2]", "[2,1]"),
        ('{"a":null}', "{}"),
        ('"é"', '"e\u0301"'),
    ],
)
def test_numbers_that_a_float_would_confuse_and_other_likenesses_stay_apart(one: str, other: str) -> None:
    assert normal(one) != normal(other)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'[{"b":{"a":1, "a":1}}]',
        b'{"a":1,"\\u0061":2}',
        b'{"a":"\\u00e9","b":1.5000,"a":2}',
        b'{"a":0.5,"a":0.5,"c":-0}',
        b'"\\ud800"',
        b"[" * 10_000 + b"]" * 10_000,
    ],
)
def test_what_may_be_read_in_two_ways_or_not_at_all_has_no_meaning(raw: bytes) -> None:
    with pytest.raises(Unclear):
        read(raw)
