from __future__ import annotations

import numpy as np
import pytest

from gateway.local.choosing import constraint as subject
from gateway.local.choosing.constraint import Constraint, DeadEnd
from gateway.local.choosing.grammar import Grammar
from gateway.local.choosing.vocabulary import Vocabulary

END = 256


class Bytes:
    """Every byte is a token; then one that ends a text, one that writes nothing, and two longer ones."""

    vocab_size = 260

    def piece(self, token: int) -> bytes:
        return bytes((token,)) if token < END else {258: b"ab", 259: b"abc"}.get(token, b"")

    def ends_text(self, token: int) -> bool:
        return token == END


VOCABULARY = Vocabulary(Bytes())


def constraint(rules: str) -> Constraint:
    return Constraint(Grammar(rules), VOCABULARY)


def row(*best: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Logits of the tokens, best first; all others share the last place."""
    made = np.zeros(260, np.float32)
    for place, token in enumerate(best):
        made[token] = 10 - place * 0.01
    return made


def test_a_text_goes_its_way_and_ends_where_it_may() -> None:
    walker = constraint('root ::= "ab" "c"?')
    assert [token for token in range(260) if walker.allows(token)] == [ord("a"), 258, 259]
    walker.accept(258)
    assert [token for token in range(260) if walker.allows(token)] == [ord("c"), END]
    walker.accept(ord("c"))
    assert [token for token in range(260) if walker.allows(token)] == [END]
    walker.accept(END)
    assert walker.allows(END)


def test_the_likeliest_that_is_allowed_is_found_however_far_down() -> None:
    walker = constraint('root ::= [x-z] "!"')
    assert walker.likeliest(row(ord("y"), ord("x")), ord("y")) == ord("y")
    assert walker.likeliest(row(ord("a"), ord("z")), ord("a")) == ord("z")
    unlikely = row(*range(65, 115))
    unlikely[[ord("x"), ord("y"), ord("z")]] = [-3, -2, -4]
    assert walker.likeliest(unlikely, 65) == ord("y")
    assert walker.likeliest_few(unlikely) == [ord("y"), ord("x"), ord("z")]


def test_what_can_never_be_written_is_a_dead_end() -> None:
    walker = constraint('root ::= "a"')
    banned = row(ord("b"))
    banned[ord("a")] = -np.inf
    assert walker.likeliest_few(banned) == []
    with pytest.raises(DeadEnd):
        walker.likeliest(banned, ord("b"))


def test_tokens_that_write_nothing_are_never_allowed() -> None:
    assert not constraint("root ::= [^x]*").allows(257)


def test_a_first_look_sees_the_first_byte_only() -> None:
    walker = constraint('root ::= "ax"')
    tokens = np.array([ord("a"), ord("x"), 257, 258, END])
    assert tokens[walker.possible(tokens)].tolist() == [ord("a"), 258]


def test_one_choice_takes_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_EFFORT", 10)
    with pytest.raises(DeadEnd):
        constraint("root ::= (" + " | ".join(f'"a{n}"' for n in range(50)) + ")").allows(ord("a"))


def test_looks_at_tokens_count_as_memory() -> None:
    grammar = Grammar("root ::= [a-z]+")
    walker, before = Constraint(grammar, VOCABULARY), grammar.kept
    assert walker.allows(ord("a"))
    once = grammar.kept
    assert walker.allows(ord("a"))
    assert before < once == grammar.kept
