from __future__ import annotations

import pytest

from gateway.local.choosing.notation import (
    MAX_NESTING,
    Alternatives,
    Class,
    Literal,
    NotationError,
    Reference,
    Repetition,
    Sequence,
    read_rules,
)

A, B = Literal(b"a"), Literal(b"b")


@pytest.mark.parametrize(
    ("body", "node"),
    [
        ('"a"', A),
        ('"a" "b"', Sequence((A, B))),
        ('"a" | "b"', Alternatives((A, B))),
        ('| "a"', Alternatives((Sequence(()), A))),
        ('("a" | "b") "a"', Sequence((Alternatives((A, B)), A))),
        ('"a"? "b"*', Sequence((Repetition(A, 0, 1), Repetition(B, 0, None)))),
        ('"a"+', Repetition(A, 1, None)),
        ('"a"{2}', Repetition(A, 2, 2)),
        ('"a"{2,}', Repetition(A, 2, None)),
        ('"a"{0,5}', Repetition(A, 0, 5)),
        ("other", Reference("other")),
        ("[a-c_]", Class(((97, 99), (95, 95)), negated=False)),
        ("[-a]", Class(((45, 45), (97, 97)), negated=False)),
        (r'[^"\\\x7F\x00-\x1F]', Class(((34, 34), (92, 92), (127, 127), (0, 31)), negated=True)),
        (r'"\"\\\n\x00é"', Literal('"\\\n\x00é'.encode())),
        ('"a"\n  "b"', Sequence((A, B))),
        ("", Sequence(())),
    ],
)
def test_a_rule_is_read_as_written(body: str, node: object) -> None:
    assert read_rules(f"root ::= {body}\nother ::= [x]")["root"] == node


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        'root ::= "a',
        'root ::= ("a"',
        'root ::= "a")',
        "root ::= *",
        'root ::= "a"{3,2}',
        "root ::= [é]",
        "root ::= ;",
        '; root ::= "a"',
        "root ::= " + "(" * (MAX_NESTING + 1),
    ],
)
def test_what_is_no_grammar_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        read_rules(text)
