"""JSON in one normal form: what means the same becomes the same bytes, and what may be read in two ways is refused.

Spacing, escapes, the order of members and the notation of a number mean nothing; the order of items does. An object
that names a member twice is read differently by different servers, so whoever wrote it would be keyed by one reading
and answered by the other.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_PLAIN_ENCODER: Final = msgspec.json.Encoder()
_FRACTION: Final = re.compile(rb"\d[.eE]")
_EXACT_CHARS: Final = 15  # two decimals of so many digits are never the same float
_EXACT_EXPONENTS: Final = range(-280, 280)
_INT_DIGITS: Final = 18
_NESTED: Final = (ord("{"), ord("["))


class Unclear(Exception):  # noqa: N818 - nobody's error: such a value is only ever like itself
    """JSON that has no one meaning, or is too deep to be read."""


def read(raw: bytes) -> Any:  # noqa: ANN401 - any JSON at all
    """The value, with numbers in normal form. Raises `Unclear`."""
    try:
        value = _VERBATIM.decode(raw)
        if raw[0] in _NESTED:
            _require_unique(raw, value)
        return _NUMBERS.decode(raw) if _FRACTION.search(raw) else value
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Unclear from None


def write(value: object) -> bytes:
    """The normal form of what `read` gave."""
    return _ENCODER.encode(value)


def _require_unique(raw: bytes, value: object) -> None:
    """No notation of strings and whole numbers is shorter than the encoder's, and fractions go through as they came: so
    where nothing was dropped for its name, nothing is missing, and where the lengths differ it is looked at closely.
    """
    if len(_PLAIN_ENCODER.encode(value)) != len(msgspec.json.format(raw, indent=-1)):
        json.loads(raw, object_pairs_hook=_unique, parse_int=str, parse_float=str)


def _unique(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Unclear


def _verbatim(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


def _number(text: str) -> object:
    """A whole number as such; a float where no other number is written with it; else the digits and the exponent."""
    if len(text) <= _EXACT_CHARS and "e" not in text and "E" not in text:
        value = float(text)
        return int(value) if value.is_integer() else value
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except ArithmeticError:
        return msgspec.Raw(text.encode())
    assert isinstance(exponent, int)  # noqa: S101 - JSON has no other numbers
    written = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(written)
    if not written:
        return 0
    if exponent >= 0 and len(written) + exponent <= _INT_DIGITS:
        return int(written) * 10**exponent * (-1 if sign else 1)
    shortest = f"{'-' if sign else ''}{written}e{exponent}"
    is_exact = len(written) <= _EXACT_CHARS and exponent in _EXACT_EXPONENTS
    return float(shortest) if is_exact else msgspec.Raw(shortest.encode())


_VERBATIM: Final = msgspec.json.Decoder(float_hook=_verbatim)
_NUMBERS: Final = msgspec.json.Decoder(float_hook=_number)
