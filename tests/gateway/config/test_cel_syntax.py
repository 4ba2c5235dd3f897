from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.cel_syntax import CHARS_MAX, DEPTH_MAX, TOKENS_MAX, CelError, Kind, Node, parse


def lisp(text: str) -> str:
    """An expression's tree, fully bracketed."""

    def told(node: Node) -> str:
        if node.kind in (Kind.LITERAL, Kind.NAME):
            return text[node.start : node.end]
        name = node.name or node.kind.name.lower()
        return f"({' '.join([name, *filter(None, [node.variable]), *map(told, node.parts)])})"

    return told(parse(text))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a || b && c == d + e * -f", "(|| a (&& b (== c (+ d (* e (- f))))))"),
        ("a - b - c", "(- (- a b) c)"),
        ("(a - (b - c))", "(- a (- b c))"),
        ("a ? b : c ? d : e", "(?: a b (?: c d e))"),
        ("!a.b && !!c", "(&& (! (b a)) (! (! c)))"),
        ("x in [1, 2.5, 'a',]", "(in x (list 1 2.5 'a'))"),
        ("{'a': 1, b: 2u}", "(map 'a' 1 b 2u)"),
        ("has(a.b) // said\n && f(1, a.g('x').h[0])", "(&& (has (b a)) (f 1 (index (h (g a 'x')) 0)))"),
        ("a.all(x, x > .5e3)", "(all x a (> x .5e3))"),
        ("a.map(x, x > 1, x)", "(map x a (> x 1) x)"),
        ("r\"a\\\" == b'''x'y'''", None),
        ("true && null != false", "(&& true (!= null false))"),
    ],
)
def test_expressions_are_read_as_cel_binds_them(text: str, tree: str | None) -> None:
    if tree is None:
        with pytest.raises(CelError):
            parse(text)
    else:
        assert lisp(text) == tree


@pytest.mark.parametrize(
    "literal",
    ["'a\\'b'", '"é"', "r'\\d+'", "R'''a'b'''", '"""a\n"b"""', "'''x'''", "0x1F", "1e9", "07", "b'x'", "bR'x'"],
)
def test_literals(literal: str) -> None:
    node = parse(f" {literal} ")
    assert (node.kind, node.start, node.end) == (Kind.LITERAL, 1, len(literal) + 1)


def test_parts_know_where_they_stand() -> None:
    text = " size( request . tools ) == (1)"
    node = parse(text)
    assert [text[part.start : part.end] for part in (node, *node.parts, node.parts[0].parts[0])] == [
        "size( request . tools ) == (1)",
        "size( request . tools )",
        "(1)",
        "request . tools",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a value is missing at its end"),
        ("a &&", "a value is missing at its end"),
        ("a == ", "a value is missing at its end"),
        ("a b", "has something unexpected at column 3"),
        ("a and b", "has something unexpected at column 3; write &&"),
        ("a = b", "cannot be read at column 3; write =="),
        ("a & b", "cannot be read at column 3; write &&"),
        ("'a", "cannot be read at column 1 (a text that is not closed?)"),
        ("a # b", "cannot be read at column 3"),
        ("(a", "')' is missing at its end"),
        ("[a b]", "']' is missing at column 4"),
        ("{a}", "':' is missing at column 3"),
        ("a ? b", "':' is missing at its end"),
        ("a.", "a name is missing at its end"),
        ("a.in", "a name is missing at column 3"),
        ("var == 1", "a name is missing at column 1"),
        ("a.all(1, true)", "all() takes a name and a condition, such as all(x, x > 1)"),
        ("a.exists(x)", "exists() takes a name and a condition, such as exists(x, x > 1)"),
        ("has(a)", "has() takes a member, such as has(request.tools)"),
        ("has(a.b, c.d)", "has() takes a member, such as has(request.tools)"),
        ("(" * (DEPTH_MAX + 1), f"is nested more than {DEPTH_MAX} levels deep"),
        ("a" * (CHARS_MAX + 1), f"is longer than {CHARS_MAX} characters"),
        ("!" * TOKENS_MAX, f"has more than {TOKENS_MAX} words and signs"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        parse(text)
    assert str(caught.value) == message


WORDS = [
    *[".", "(", ")", "[", "]", "{", "}", ",", ":", "?", "!", "-", "+", "&&", "==", "in", "has", "all"],
    "a",
    "'x'",
    "1",
]


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_no_text_breaks_it(text: str) -> None:
    try:
        node = parse(text)
    except CelError:
        return
    assert 0 <= node.start < node.end <= len(text)
