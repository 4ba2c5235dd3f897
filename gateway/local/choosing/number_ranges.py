"""Ranges of numbers in the grammar's notation: digits, the leading ones decided first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DIGITS = 16
_MOST = 10**MAX_DIGITS - 1
# Six places, the last of them not 0: never a whole number, also when it is read back as a double.
_FRACTION = '"." [0-9]{0,5} [1-9]'
_EXACT_BELOW = 10**8


def integers_of(schema: dict[str, Any]) -> str:
    """All integers within a schema's bounds. Raises `ValueError` where there is none."""
    low, high = _bounds(schema)
    return whole_numbers(low, high)


def numbers_of(schema: dict[str, Any]) -> str:
    """Numbers within a schema's bounds, between the outermost whole ones. Raises `ValueError` where there is none."""
    low, high = _bounds(schema)
    ways = [whole_numbers(low, high)] if low is None or high is None or low <= high else []
    # Fractions lie between whole numbers, so they may go up to a bound that is none of the numbers itself.
    least = _outer(low, schema.get("exclusiveMinimum"), _whole(schema, "minimum", math.ceil))
    most = _outer(high, schema.get("exclusiveMaximum"), _whole(schema, "maximum", math.floor))
    least, most = -_MOST if least is None else least, _MOST if most is None else most
    if most > max(0, least):
        ways.append(f"({whole_numbers(max(0, least), most - 1)}) {_FRACTION}")
    if least < min(0, most):
        ways.append(f'"-" ({whole_numbers(max(0, -most), -least - 1)}) {_FRACTION}')
    if not ways:
        raise ValueError("no number that a grammar can tell lies in its range")
    return " | ".join(ways)


def _bounds(schema: dict[str, Any]) -> tuple[int | None, int | None]:
    """The least and the greatest whole number that are allowed."""
    lows = [
        _whole(schema, "minimum", math.ceil),
        _whole(schema, "exclusiveMinimum", lambda bound: math.floor(bound) + 1),
    ]
    highs = [
        _whole(schema, "maximum", math.floor),
        _whole(schema, "exclusiveMaximum", lambda bound: math.ceil(bound) - 1),
    ]
    return (
        max((low for low in lows if low is not None), default=None),
        min((high for high in highs if high is not None), default=None),
    )


def _whole(schema: dict[str, Any], name: str, rounded: Callable[[float], int]) -> int | None:
    bound = schema.get(name)
    return None if bound is None else rounded(bound)


def _outer(bound: int | None, excluded: float | None, included: int | None) -> int | None:
    """The whole number up to which fractions go: a bound that excludes itself is one, if a double can tell, unless the
    other, that is part of its range, comes before.
    """
    if bound is None or excluded is None or bound == included:
        return bound
    return int(excluded) if abs(excluded - bound) == 1 and abs(excluded) < _EXACT_BELOW else bound


def whole_numbers(low: int | None, high: int | None) -> str:
    """All whole numbers from `low` to `high`, both included; None: as far as sixteen digits go.

    Raises `ValueError` where there is none.
    """
    least = max(-_MOST, -_MOST if low is None else low)
    most = min(_MOST, _MOST if high is None else high)
    if least > most:
        raise ValueError("no whole number lies in its range")
    ways = []
    if least < 0:
        ways += [f'"-" {way}' for way in _natural(max(1, -most), -least)]
    if most >= 0:
        ways += _natural(max(0, least), most)
    return " | ".join(ways)


def _natural(low: int, high: int) -> list[str]:
    """Numbers from 0 on, by how many digits they have."""
    ways = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        least = max(low, 10 ** (digits - 1) if digits > 1 else 0)
        ways += _between(str(least), str(min(high, 10**digits - 1)))
    return ways


def _between(low: str, high: str) -> list[str]:
    """Texts of digits from one to another of the same length."""
    rest = len(low) - 1
    if low[0] == high[0]:
        return [f'"{low[0]}" {way}' for way in _between(low[1:], high[1:])] if rest else [f'"{low[0]}"']
    ways = []
    first, last = int(low[0]), int(high[0])
    if rest and low[1:] != "0" * rest:
        ways += [f'"{low[0]}" {way}' for way in _between(low[1:], "9" * rest)]
        first += 1
    top = []
    if rest and high[1:] != "9" * rest:
        top = [f'"{high[0]}" {way}' for way in _between("0" * rest, high[1:])]
        last -= 1
    if first <= last:
        ways.append(f"[{first}-{last}]" + (f" [0-9]{{{rest}}}" if rest else ""))
    return ways + top
