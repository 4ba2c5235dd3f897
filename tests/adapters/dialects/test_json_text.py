from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects.json_text import MAX_DEPTH, copy_json, read_json
from adapters.dialects.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def copied(text: str, size: int = 1) -> tuple[str, str]:
    """What is passed on of a text that comes in pieces of this size, and what is left of it."""
    tape, parts = Tape({}), list[str]()
    reading = copy_json(tape, parts.append)
    done = False
    for piece in pieces(text, size):
        tape.add(piece)
        done = done or next(reading, True) is not None
    tape.ended = True
    if not done:
        next(reading, None)
    return "".join(parts), tape.text[tape.at :]


def pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@given(value=VALUES, size=st.integers(1, 9), spaced=st.booleans(), ascii_only=st.booleans())
def test_json_is_passed_on_as_it_is(value: object, size: int, spaced: bool, ascii_only: bool) -> None:  # noqa: FBT001
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=ascii_only)
    assert copied(text, size) == (text, "")
    assert copied(text + " tail", size) == (text, " tail")


@given(text=st.text(alphabet=list('{}[]",:\\u01 atruefalsn\n'), max_size=30), size=st.integers(1, 5))
def test_what_is_passed_on_does_not_depend_on_the_cuts(text: str, size: int) -> None:
    assert copied(text, size) == copied(text, 1000)


@pytest.mark.parametrize(
    ("text", "passed", "left"),
    [
        ('{"a": tru}', '{"a": ', "tru}"),
        ('{"a" 1}', '{"a" ', "1}"),
        ('{"a": 1,}', '{"a": 1,', "}"),
        ("[1 2]", "[1 ", "2]"),
        ("[1}", "[1", "}"),
        ("01", "", "01"),
        ("{a: 1}", "{", "a: 1}"),
        ("", "", ""),
        ("[" * (MAX_DEPTH + 1), "[" * MAX_DEPTH, "["),
    ],
)
def test_it_ends_where_it_cannot_be_json_any_more(text: str, passed: str, left: str) -> None:
    assert copied(text) == (passed, left)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\nb\tc"', "a\nb\tc"),
        (r'"C:\q"', r"C:\q"),
        (r'"it\'s"', "it's"),
        (r'"\u12"', r"\u12"),
        (r'"\ud83d"', "\ud83d"),
    ],
)
def test_what_can_mean_one_thing_only_is_put_right(text: str, value: str) -> None:
    assert json.loads(copied(text)[0]) == value


def test_a_value_that_is_read_whole_is_bounded() -> None:
    tape = Tape({})
    tape.add('"' + "x" * 50)
    with pytest.raises(StopIteration) as stop:
        next(read_json(tape, 10))
    assert stop.value.value is None
