from __future__ import annotations

import time

import pytest

from gateway.local.choosing.automaton import MAX_STATES, Automaton
from gateway.local.choosing.gbnf import GrammarTooLarge
from gateway.local.choosing.notation import NotationError, read_rules


def build(text: str) -> Automaton:
    return Automaton(read_rules(text), "root")


def test_a_literal_is_a_chain_of_bytes() -> None:
    automaton = build('root ::= "é"')
    [(low, high, after)] = automaton.steps[automaton.starts[automaton.root]]
    assert (low, high) == (0xC3, 0xC3)
    assert [step[:2] for step in automaton.steps[after]] == [(0xA9, 0xA9)]


def test_a_class_that_excludes_covers_all_other_characters() -> None:
    automaton = build(r'root ::= [^"\x00-\x1F]')
    ranges = [step[:2] for step in automaton.steps[automaton.starts[automaton.root]]]
    covered = {byte for low, high in ranges for byte in range(low, high + 1)}
    assert covered == {*range(0x20, 0x80), *range(0xC2, 0xF5)} - {0x22}


@pytest.mark.parametrize(
    "text", ["root ::= root", 'root ::= "a" root', 'root ::= a\na ::= "[" a "]"', "root ::= [^\\x00-\\x7F] root"]
)
def test_a_grammar_must_have_texts_that_end(text: str) -> None:
    with pytest.raises(NotationError, match="no text that ever ends"):
        build(text)


def test_ways_that_never_end_are_left_out() -> None:
    automaton = build('root ::= "a" | "b" endless\nendless ::= "x" endless')
    [(low, _, _)] = automaton.steps[automaton.starts[automaton.root]]
    assert low == ord("a")


@pytest.mark.parametrize("text", ["root ::= nowhere", "other ::= [a]"])
def test_every_name_needs_a_rule(text: str) -> None:
    with pytest.raises(NotationError, match="there is no rule"):
        build(text)


def test_size_is_bounded_however_little_text_asks_for_it() -> None:
    with pytest.raises(GrammarTooLarge):
        build('root ::= ((("a"{0,999}){0,999}){0,999}){0,999}')
    assert len(build('root ::= "a"{0,999}').steps) < MAX_STATES


def test_a_long_chain_of_what_may_be_empty_is_worked_off_at_once() -> None:
    rules = "\n".join(f'r{n} ::= "x"? r{n + 1}' for n in range(3_000))
    began_s = time.thread_time()
    automaton = build(f"root ::= r0\n{rules}\nr3000 ::= ")
    assert time.thread_time() - began_s < 5.0
    assert automaton.skips[automaton.starts[automaton.root]]
