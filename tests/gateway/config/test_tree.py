from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.problems import Malformed
from gateway.config.tree import BYTES_MAX, DEPTH_MAX, compose, unfold


def values_of(text: str) -> Any:
    return unfold(compose(text), str).values


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("True", True),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("''", ""),
        ("'5'", "5"),
        ("5", 5),
        ("-5", -5),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("9" * 5000, "9" * 5000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("2027-01-31", "2027-01-31"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_follow_yaml_1_2(scalar: str, expected: object) -> None:
    value = values_of(f"a: {scalar}")["a"]
    assert value == expected
    assert type(value) is type(expected)


def test_every_place_knows_its_line() -> None:
    tree = unfold(compose("# top\na:\n  - x\n  - {b: 1,\n     c: 2}\n\nd:\n  - &n\n    e: 1\nf: *n\n"), str)
    assert tree.values == {"a": ["x", {"b": 1, "c": 2}], "d": [{"e": 1}], "f": {"e": 1}}
    lines = {
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 4,
        ("a", 1, "b"): 4,
        ("a", 1, "c"): 5,
        ("d", 0): 8,
        ("f",): 10,
        ("f", "e"): 9,
    }
    assert {place: tree.lines[place] for place in lines} == lines
    assert tree.line(("a", 1, "b", "deeper", 3)) == 4
    assert tree.line(("nowhere",)) == 2


def test_a_repeated_key_is_found_and_the_first_stays() -> None:
    tree = unfold(compose("a: 1\nb: {c: 1, c: 2}\na: 3\n"), str)
    assert tree.values == {"a": 1, "b": {"c": 1}}
    assert sorted(tree.findings) == [
        (("a",), 3, "is set twice, first on line 1"),
        (("b", "c"), 2, "is set twice, first on line 2"),
    ]


def test_only_texts_with_references_are_resolved() -> None:
    def resolve(text: str) -> str:
        if "bad" in text:
            raise ValueError("no such thing")
        return text.replace("${x}", "X")

    tree = unfold(compose("a: ['${x}', plain, 5, \"${bad}\"]\n${x}: 1\n"), resolve)
    assert tree.values == {"a": ["X", "plain", 5, ""], "${x}": 1}
    assert tree.from_references == {("a", 0), ("a", 3)}
    assert tree.findings == [(("a", 3), 1, "no such thing")]


BILLION_LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "is empty"),
        ("# only a comment\n", 1, "is empty"),
        ("a: 1\n---\nb: 2\n", 2, "holds a second YAML document"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "has a YAML tag; tags are not supported"),
        ("a: !x {}\n", 1, "has a YAML tag; tags are not supported"),
        ("a: 1\n? [x]\n: 1\n", 2, "has a key that is not plain text"),
        ("&x a: 1\n*x : 2\n", 2, "has a key that is not plain text"),
        ("a: 1\nb: *nope\n", 2, "is not YAML: an alias has no anchor before it"),
        ("a: 1\n  b: 2\n", 2, "is not YAML: mapping values are not allowed in this context"),
        ('a: 1\nb: "x\n', 3, "is not YAML: found unexpected end of stream"),
        ("a: 1\nb: \x07\n", 2, "is not YAML: a control character is not allowed here"),
        ("a: &a [*a]\n", 1, "is too large once its aliases are followed"),
        (BILLION_LAUGHS, 1, "is too large once its aliases are followed"),
        ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), 1, f"is nested more than {DEPTH_MAX} levels deep"),
        ("[" * 100_000, 1, f"is nested more than {DEPTH_MAX} levels deep"),
        ("x" * (BYTES_MAX + 1), 1, "is larger than 1 MiB"),
    ],
)
def test_what_is_no_document_says_where_and_why(text: str, line: int, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        values_of(text)
    assert (caught.value.line, caught.value.message) == (line, message)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    try:
        tree = unfold(compose(text), str)
    except Malformed as refused:
        problem = refused
    else:
        assert () in tree.lines
        return
    assert 1 <= problem.line <= len(text) + 1
