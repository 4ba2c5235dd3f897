"""What CEL's operators do, as Python closures that give what the library would: a value, or `UNTOLD` where that fails.

What a caller may send in more types than an expression was written for is looked at when it comes. Where it is none of
those that are known here the closure raises `Elsewhere`, and the library is asked.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from gateway.config.cel_readings import INT_MAX, INT_MIN, UNTOLD, Read
from gateway.config.cel_types import BOOL, NUMBERS, Type

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.vocabulary import Subject


class Elsewhere(Exception):  # noqa: N818 - no error: the library knows
    """This is not decided here."""


class Piece(NamedTuple):
    """A part of an expression. `sure`: what it gives is of its `type`, or `UNTOLD`. `value` is a constant's."""

    ask: Read
    type: Type
    sure: bool = True
    is_constant: bool = False
    value: object = None


COMPARED: Final[dict[str, Callable[[Any, Any], object]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ON_TEXTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": str.__contains__,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}
_CLASSES: Final[dict[str, type]] = {"string": str, "int": int, "double": float, "bool": bool}


def constant(value: object, given: Type) -> Piece:
    return Piece(lambda _: value, given, is_constant=True, value=value)


def of_class(piece: Piece, wanted: type) -> Read:
    """What a piece gives, if it is of this class or `UNTOLD`."""
    ask = piece.ask
    if piece.sure:
        if _CLASSES.get(piece.type.name) is not wanted:
            raise Elsewhere
        return ask

    def checked(subject: Subject) -> object:
        found = ask(subject)
        if found is UNTOLD or (type(found) is wanted and (wanted is not int or _fits(found))):
            return found
        raise Elsewhere

    return checked


def _fits(number: object) -> bool:
    return INT_MIN <= cast("int", number) <= INT_MAX


def as_condition(piece: Piece) -> Read:
    """Yes, no or `UNTOLD`: what is no condition at all cannot be told."""
    ask = piece.ask
    if piece.sure:
        if piece.type != BOOL:
            raise Elsewhere
        return ask

    def condition(subject: Subject) -> object:
        found = ask(subject)
        return found if found is True or found is False else UNTOLD

    return condition


def both(first: Read, second: Read) -> Read:
    """One side that says no decides, whatever cannot be told of the other."""

    def both(subject: Subject) -> object:
        found = first(subject)
        if found is True:
            return second(subject)
        return False if found is False or second(subject) is False else UNTOLD

    return both


def either(first: Read, second: Read) -> Read:
    """One side that says yes decides."""

    def either(subject: Subject) -> object:
        found = first(subject)
        if found is False:
            return second(subject)
        return True if found is True or second(subject) is True else UNTOLD

    return either


def opposite(ask: Read) -> Read:
    def opposite(subject: Subject) -> object:
        found = ask(subject)
        return UNTOLD if found is UNTOLD else not found

    return opposite


def choice(ask: Read, if_so: Read, if_not: Read) -> Read:
    def choice(subject: Subject) -> object:
        found = ask(subject)
        return UNTOLD if found is UNTOLD else if_so(subject) if found else if_not(subject)

    return choice


def member(ask: Read, name: str) -> Read:
    """A map's item; one that is not there cannot be told."""

    def member(subject: Subject) -> object:
        found = ask(subject)
        if type(found) is dict:
            return found.get(name, UNTOLD)
        if found is UNTOLD:
            return UNTOLD
        raise Elsewhere

    return member


def has_member(ask: Read, name: str) -> Read:
    def has_member(subject: Subject) -> object:
        found = ask(subject)
        if type(found) is dict:
            return name in found
        if found is UNTOLD:
            return UNTOLD
        raise Elsewhere

    return has_member


def among(ask: Read, items: frozenset[object]) -> Read:
    """Whether it is one of these."""

    def among(subject: Subject) -> object:
        found = ask(subject)
        return UNTOLD if found is UNTOLD else found in items

    return among


def inside(ask: Read, holder: Read) -> Read:
    def inside(subject: Subject) -> object:
        found, items = ask(subject), holder(subject)
        return UNTOLD if found is UNTOLD or items is UNTOLD else found in cast("Any", items)

    return inside


def size(piece: Piece) -> Read:
    ask = piece.ask
    if piece.type.name != "string":
        return lambda subject: UNTOLD if (found := ask(subject)) is UNTOLD else len(cast("Any", found))

    def size_bytes(subject: Subject) -> object:
        """As the library has it, which counts bytes."""
        found = ask(subject)
        if found is UNTOLD:
            return UNTOLD
        text = cast("str", found)
        return len(text) if text.isascii() else len(text.encode())

    return size_bytes


def on_texts(name: str, left: Read, right: Read) -> Read:
    told = ON_TEXTS[name]

    def on_texts(subject: Subject) -> object:
        text, part = left(subject), right(subject)
        return UNTOLD if text is UNTOLD or part is UNTOLD else told(cast("str", text), cast("str", part))

    return on_texts


def comparison(sign: str, left: Piece, right: Piece) -> Read:
    """`==`, `<` and the like. What is of two types is never the same, except numbers."""
    if sign in ("==", "!="):
        for one, other in ((left, right), (right, left)):
            if other.is_constant and (other.value is None or type(other.value) is str):
                return _equal(one.ask, other.value, is_negated=sign == "!=")
    if left.sure and right.sure and left.type == right.type and _is_plain(sign, left.type):
        return _compared(COMPARED[sign], left.ask, right)
    kinds = {piece.type.name for piece in (left, right) if piece.sure}
    if kinds == {"string"}:
        return _compared(COMPARED[sign], of_class(left, str), right._replace(ask=of_class(right, str)))
    if kinds and kinds <= NUMBERS - {"uint"}:
        return _numbers(COMPARED[sign], left.ask, right.ask)
    raise Elsewhere


def _is_plain(sign: str, given: Type) -> bool:
    return given.name in ("string", "int", "double") or (given == BOOL and sign in ("==", "!="))


def _equal(ask: Read, value: object, *, is_negated: bool) -> Read:
    if is_negated:
        return lambda subject: UNTOLD if (found := ask(subject)) is UNTOLD else found != value
    return lambda subject: UNTOLD if (found := ask(subject)) is UNTOLD else found == value


def _compared(told: Callable[[Any, Any], object], ask: Read, right: Piece) -> Read:
    if right.is_constant:
        value = right.value
        return lambda subject: UNTOLD if (found := ask(subject)) is UNTOLD else told(found, value)
    other = right.ask

    def compared(subject: Subject) -> object:
        one, two = ask(subject), other(subject)
        return UNTOLD if one is UNTOLD or two is UNTOLD else told(one, two)

    return compared


def _numbers(told: Callable[[Any, Any], object], left: Read, right: Read) -> Read:
    """A whole number beside one with a fraction is compared as such a one, rounded."""

    def numbers(subject: Subject) -> object:
        one, two = left(subject), right(subject)
        if one is UNTOLD or two is UNTOLD:
            return UNTOLD
        kinds = type(one), type(two)
        if kinds in ((float, int), (int, float)):
            return told(float(cast("float", one)), float(cast("float", two)))
        if kinds == (float, float) or (kinds == (int, int) and _fits(one) and _fits(two)):
            return told(one, two)
        raise Elsewhere

    return numbers


def reckoning(sign: str, left: Piece, right: Piece) -> Read:
    """`+ - * / %` on whole numbers; what leaves their range cannot be told, nor can what is divided by 0."""
    if not (left.sure or right.sure):
        raise Elsewhere
    one_of, two_of, reckon = of_class(left, int), of_class(right, int), _RECKONED[sign]

    def reckoned(subject: Subject) -> object:
        one, two = one_of(subject), two_of(subject)
        if one is UNTOLD or two is UNTOLD or (two == 0 and sign in "/%"):
            return UNTOLD
        found = reckon(cast("int", one), cast("int", two))
        return found if _fits(found) else UNTOLD

    return reckoned


def _quotient(one: int, two: int) -> int:
    """Rounded towards zero, as CEL does and Python does not."""
    found = abs(one) // abs(two)
    return found if (one < 0) == (two < 0) else -found


def _remainder(one: int, two: int) -> int:
    if one == INT_MIN and two == -1:
        return INT_MAX + 1  # no such quotient, and so no remainder
    return one - two * _quotient(one, two)


_RECKONED: Final[dict[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": _remainder,
}
