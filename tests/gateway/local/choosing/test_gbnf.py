from __future__ import annotations

import pytest

from gateway.local.choosing.gbnf import (
    JSON_RULES,
    MAX_GRAMMAR_CHARS,
    MAX_RULES,
    GrammarTooLarge,
    RuleBook,
    json_literal,
    literal,
)


@pytest.mark.parametrize(
    ("text", "notation"),
    [
        ("plain", '"plain"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("a\nb\tc\x00", '"a\\nb\\tc\\x00"'),
        ("é☃", '"é☃"'),
    ],
)
def test_a_literal_cannot_break_out_of_its_quotes(text: str, notation: str) -> None:
    assert literal(text) == notation


def test_a_json_literal_is_escaped_twice() -> None:
    assert json_literal('a"b') == r'"\"a\\\"b\""'


def test_rules_have_names_of_their_own() -> None:
    book = RuleBook()
    names = {book.add(f'"{number}"') for number in range(10)}
    assert len(names - JSON_RULES.keys()) == 10
    assert book.add('"3"') in names
    assert book.text("value").startswith("root ::= value\n")


def test_a_rule_may_refer_to_itself() -> None:
    book = RuleBook()
    name = book.reserve()
    book.define(name, f'"[" {name}? "]"')
    assert f'{name} ::= "[" {name}? "]"' in book.text(name)


def test_size_is_bounded() -> None:
    book = RuleBook()
    for _ in range(MAX_RULES + 1 - len(JSON_RULES)):
        book.reserve()
    with pytest.raises(GrammarTooLarge):
        book.reserve()
    with pytest.raises(GrammarTooLarge):
        RuleBook().add("x" * (MAX_GRAMMAR_CHARS + 1))
