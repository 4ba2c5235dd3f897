from __future__ import annotations

from itertools import product

import pytest

from gateway.config.cel_closures import (
    Elsewhere,
    Piece,
    as_condition,
    both,
    comparison,
    constant,
    either,
    member,
    of_class,
    reckoning,
)
from gateway.config.cel_readings import INT_MAX, INT_MIN, UNTOLD
from gateway.config.cel_types import BOOL, DYN, INT, STRING
from policies.vocabulary import Endpoint, Principal, Subject

NOBODY = Subject(Principal("", ""), Endpoint.CHAT, "m", False, {})
ANSWERS = (True, False, UNTOLD)


def gives(value: object, *, sure: bool = True) -> Piece:
    return Piece(lambda _: value, BOOL if sure else DYN, sure=sure)


def test_one_side_may_decide_what_cannot_be_told_of_the_other() -> None:
    for one, two in product(ANSWERS, ANSWERS):
        asked = gives(one).ask, gives(two).ask
        assert both(*asked)(NOBODY) is (False if False in (one, two) else UNTOLD if UNTOLD in (one, two) else True)
        assert either(*asked)(NOBODY) is (True if True in (one, two) else UNTOLD if UNTOLD in (one, two) else False)


def test_what_decides_leaves_the_other_side_unasked() -> None:
    def unasked(_: Subject) -> object:
        raise AssertionError

    assert both(gives(value=False).ask, unasked)(NOBODY) is False
    assert either(gives(value=True).ask, unasked)(NOBODY) is True


@pytest.mark.parametrize("value", [1, "true", None, [], 0.0])
def test_what_is_no_condition_cannot_be_told(value: object) -> None:
    assert as_condition(gives(value, sure=False))(NOBODY) is UNTOLD


def test_what_is_of_another_type_is_decided_elsewhere() -> None:
    for value in (True, 1.0, "1", None, INT_MAX + 1):
        with pytest.raises(Elsewhere):
            of_class(gives(value, sure=False), int)(NOBODY)
    assert of_class(gives(5, sure=False), int)(NOBODY) == 5
    with pytest.raises(Elsewhere):
        of_class(constant("a", STRING), int)


def test_an_item_that_is_not_there_cannot_be_told_and_what_has_no_items_is_decided_elsewhere() -> None:
    assert member(gives({"a": None}).ask, "a")(NOBODY) is None
    assert member(gives({}).ask, "a")(NOBODY) is UNTOLD
    with pytest.raises(Elsewhere):
        member(gives("a").ask, "a")(NOBODY)


@pytest.mark.parametrize(
    ("sign", "one", "two", "expected"),
    [
        ("/", -7, 2, -3),
        ("%", -7, 2, -1),
        ("%", 7, -2, 1),
        ("/", 1, 0, UNTOLD),
        ("%", 1, 0, UNTOLD),
        ("+", INT_MAX, 1, UNTOLD),
        ("-", INT_MIN, 1, UNTOLD),
        ("/", INT_MIN, -1, UNTOLD),
        ("%", INT_MIN, -1, UNTOLD),
        ("*", 3, 4, 12),
    ],
)
def test_whole_numbers_are_reckoned_with_as_cel_does(sign: str, one: int, two: int, expected: object) -> None:
    assert reckoning(sign, constant(one, INT), constant(two, INT))(NOBODY) == expected


def test_a_whole_number_is_compared_with_a_fraction_as_one() -> None:
    large = 2**53 + 1
    assert comparison("==", gives(large, sure=False), constant(float(2**53), INT))(NOBODY) is True
    with pytest.raises(Elsewhere):
        comparison("<", gives(value=True, sure=False), constant(2, INT))(NOBODY)
