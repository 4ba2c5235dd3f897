from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.local.choosing.gbnf import GrammarTooLarge, RuleBook
from gateway.local.choosing.grammar import Grammar


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether exactly this text is one of the grammar's."""
    spot = grammar.after(grammar.start(), text.encode())
    return spot is not None and spot.can_end


EXPRESSIONS = st.recursive(
    st.sampled_from(['"a"', '"b"', '"ab"', "[ab]", "[^a\\n]", '""']),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"{two[0]} {two[1]}"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} | {two[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{0,2}", "{2,}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
    ),
    max_leaves=8,
)


def as_regex(expression: str) -> re.Pattern[str]:
    return re.compile(expression.replace('"', "").replace(" ", "").replace("()", "(?:)"))


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS, st.lists(st.text("ab\N{SNOWMAN}", max_size=6), min_size=1, max_size=6))
def test_a_grammar_without_recursion_is_a_regular_expression(expression: str, texts: list[str]) -> None:
    grammar = Grammar(f"root ::= {expression}")
    pattern = as_regex(expression)
    assert [accepts(grammar, text) for text in texts] == [bool(pattern.fullmatch(text)) for text in texts]


@settings(max_examples=100, deadline=None)
@given(st.text("()[]x", max_size=12))
def test_rules_may_call_themselves(text: str) -> None:
    grammar = Grammar('root ::= pair*\npair ::= "(" root ")" | "[" root "]" | "x"')
    rest = text
    while rest != (rest := re.sub(r"\(\)|\[\]|x", "", rest)):
        pass
    assert accepts(grammar, text) == (not rest)


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('root ::= root "a" | "b"', ["b", "baa"], ["", "a", "bb"]),
        ('root ::= empty root2 empty\nempty ::= "x"?\nroot2 ::= empty "y" empty', ["y", "xxyxx", "xy"], ["xx", "xxxy"]),
        ('root ::= a a\na ::= "x" | "x" "x" | ""', ["", "x", "xxxx"], ["xxxxx"]),
        ('root ::= ("a"+ "b")+', ["ab", "aabab"], ["a", "b", "abb"]),
        ('root ::= (("a"? | "b")* "c")?', ["", "c", "abac"], ["a"]),
    ],
)
def test_rules_that_begin_with_themselves_or_may_be_empty(text: str, good: list[str], bad: list[str]) -> None:
    grammar = Grammar(text)
    assert [one for one in good if not accepts(grammar, one)] == []
    assert [one for one in bad if accepts(grammar, one)] == []


def test_a_character_may_come_in_parts() -> None:
    grammar = Grammar("root ::= [^a] [^a]")
    snowman = "\N{SNOWMAN}".encode()
    spot = grammar.after(grammar.start(), snowman[:1])
    assert spot is not None
    assert not spot.can_end
    assert grammar.after(spot, b"b") is None
    assert grammar.after(spot, snowman[1:]) is not None


def test_bytes_that_are_no_text_are_not_allowed() -> None:
    grammar = Grammar("root ::= [^a]*")
    for data in (b"\xc0\x80", b"\xed\xa0\x80", b"\xf8", b"\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80"):
        assert grammar.after(grammar.start(), data) is None


def test_what_is_allowed_next_is_known() -> None:
    grammar = Grammar('root ::= ("ab" | [x-z])*')
    start = grammar.start()
    assert grammar.first_bytes(start) == b"axyz"
    inside = grammar.after(start, b"xa")
    assert inside is not None
    assert grammar.first_bytes(inside) == b"b"


def test_places_that_mean_the_same_are_one() -> None:
    grammar = Grammar(RuleBook().text("value"))
    first = grammar.after(grammar.start(), b'{"a": 1, "b')
    second = grammar.after(grammar.start(), b'{"a": 1, "bcdefg')
    third = grammar.after(grammar.start(), b'{"a": 1, "b": [1, [true]], "bc')
    assert first is second is third


def test_many_readings_of_one_text_cost_no_more_than_the_grammar_is_large() -> None:
    """Sixteen levels with two readings each: llama.cpp would follow 65,536 of them at once."""
    rules = [f'r{n} ::= "[" r{n + 1} "]" | "[" r{n + 1} "]"' for n in range(40)]
    grammar = Grammar("root ::= r0\n" + "\n".join(rules) + '\nr40 ::= "x"')
    began_s = time.thread_time()
    assert accepts(grammar, "[" * 40 + "x" + "]" * 40)
    assert grammar.effort < 2_000
    assert time.thread_time() - began_s < 5.0


def test_a_place_of_too_many_readings_is_refused() -> None:
    grammar = Grammar("root ::= " + " | ".join(['"ab"'] * 25_000))
    with pytest.raises(GrammarTooLarge):
        grammar.after(grammar.start(), b"a")


def test_what_was_learnt_is_forgotten_before_it_fills_the_memory() -> None:
    grammar = Grammar('root ::= "(" root ")" | "x"')
    spot = grammar.start()
    sizes = []
    for _ in range(12_000):
        after = grammar.after(spot, b"(")
        assert after is not None
        spot = after
        sizes.append(len(grammar._spots))
    assert max(sizes) <= 100_000 // 10
    assert sizes[-1] < max(sizes)
