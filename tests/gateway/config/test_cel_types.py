"""The tables agree with the library that evaluates: what they promise it does, in the type that they promise."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product

import cel
import pytest

from gateway.config.cel_check import check
from gateway.config.cel_syntax import CelError
from gateway.config.cel_types import (
    BOOL,
    DYN,
    FUNCTIONS,
    INT,
    LIST,
    METHODS,
    STRING,
    UINT,
    Type,
    called,
    compared,
    contained,
    joined,
    reckoned,
)

SAMPLES = {
    "bool": "true",
    "int": "3",
    "uint": "3u",
    "double": "1.5",
    "string": "'5'",
    "bytes": "b'5'",
    "list": "[1]",
    "map": "{'a': 1}",
    "timestamp": "timestamp('2026-01-01T00:00:00Z')",
    "duration": "duration('1h')",
    "*": "1",
}
FITTING = {("timestamp", "string"): "'2026-01-01T00:00:00Z'", ("duration", "string"): "'1h'"}
PYTHON = {
    "bool": bool,
    "int": int,
    "uint": int,
    "double": float,
    "string": str,
    "bytes": bytes,
    "list": list,
    "map": dict,
    "timestamp": datetime,
    "duration": timedelta,
    "dyn": object,
}
CALLS = [
    (f"{name}({', '.join(FITTING.get((name, kind), SAMPLES[kind]) for kind in overload)})", result)
    for name, (overloads, result) in FUNCTIONS.items()
    for overload in overloads
] + [
    (f"{SAMPLES[target]}.{name}({', '.join(SAMPLES[kind] for kind in others)})", result)
    for name, (overloads, result) in METHODS.items()
    for target, *others in overloads
]


@pytest.mark.parametrize(("text", "result"), CALLS, ids=str)
def test_the_library_has_every_function(text: str, result: Type) -> None:
    assert isinstance(cel.compile(text).execute({}), PYTHON[result.name])


KINDS = [kind for kind in SAMPLES if kind != "*"]
SIGNS = ["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "in"]


def given_by(sign: str, left: Type, right: Type) -> Type | None:
    """What the operator gives; None where it is refused."""
    try:
        if sign == "in":
            return contained(left, right)
        return (reckoned if sign in "+-*/%" else compared)(sign, left, right)
    except CelError:
        return None


@pytest.mark.parametrize("sign", SIGNS)
def test_what_an_operator_is_let_take_the_library_takes(sign: str) -> None:
    """The other way round some are refused though the library takes them, for they are never true."""
    taken = 0
    for left, right in product(KINDS, KINDS):
        types = [Type(kind, {"list": INT, "map": INT}.get(kind)) for kind in (left, right)]
        if (given := given_by(sign, *types)) is not None:
            found = cel.compile(f"{SAMPLES[left]} {sign} {SAMPLES[right]}").execute({})
            assert isinstance(found, PYTHON[given.name]), (left, right)
            taken += 1
    assert taken >= 2


@pytest.mark.parametrize(
    ("name", "types", "is_method", "message"),
    [
        ("siz", (LIST,), False, "there is no function siz() (did you mean 'size'?)"),
        ("frobnicate", (), True, "there is no function frobnicate()"),
        ("size", (INT,), False, "size() takes string or bytes or list or map, not int"),
        ("size", (), False, "size() takes string or bytes or list or map, not nothing"),
        ("contains", (STRING, INT), True, "contains() takes string, string, not string, int"),
        ("contains", (STRING, STRING), False, "contains() is written x.contains(...)"),
        ("int", (STRING,), True, "int() is written int(x)"),
    ],
)
def test_other_calls_are_refused(name: str, types: tuple[Type, ...], message: str, *, is_method: bool) -> None:
    with pytest.raises(CelError) as caught:
        called(name, types, is_method=is_method)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 == 'a'", "compares int with string, which are never the same"),
        ("[1] == ['a']", "compares list of int with list of string, which are never the same"),
        ("1 == null", "compares with null, which this never is; has(request.NAME) tells whether it was sent"),
        ("1 < 'a'", "int < string means nothing"),
        ("[1] < [2]", "list of int < list of int means nothing"),
        ("'a' in 'abc'", "'in' looks into a list or a map; for a part of a text write x.contains(y)"),
        ("1 in 5", "'in' looks into a list or a map, not into int"),
        ("1 in ['a']", "'in' looks for int in a list of string, where it never is"),
        ("b'a' in {'a': 1}", "'in' looks for bytes among the keys of a map, where it never is"),
        ("1 + 1.5 > 2.0", "int + double means nothing; turn one into the other with int() or double()"),
        ("'a' * 2 == 'aa'", "string * int means nothing"),
        ("1.5 % 1.5 > 1.0", "double % double means nothing"),
    ],
)
def test_operators_refuse_what_means_nothing(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        check(text)
    assert str(caught.value) == message


def test_numbers_compare_across_their_kinds_and_dyn_with_all() -> None:
    assert compared("<", INT, UINT) == compared("==", DYN, LIST) == contained(DYN, DYN) == BOOL
    assert reckoned("+", DYN, STRING) == DYN
    assert (joined([INT, INT]), joined([INT, STRING]), joined([])) == (INT, DYN, DYN)
