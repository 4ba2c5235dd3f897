"""Numbers in digits, with their units and times of the clock, in one form however they are written."""

from __future__ import annotations

import re
from typing import Final

from policies.questions.spoken import LARGE
from policies.questions.units import UNIT_OF, Amount, unit_of

_SCALES: Final = {"k": 3, "bn": 9, "mn": 6, "mio": 6}
_ORDINAL_ENDINGS: Final = frozenset({"st", "nd", "rd", "th"})
ROMAN: Final = {"II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12}
_APART_TOO: Final = frozenset({"h", "m", "g", "l", "s"})
"""Letters that stand for a unit after digits, even with a space between."""
_DIGITS: Final = re.compile(r"([-+]?)(.*\d)(\D*)", re.DOTALL)
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def amounts_in(token: str, following: str, sign: str) -> list[Amount]:
    """What a token of digits says. `following` is the word after it, `sign` a currency before it."""
    matched = _DIGITS.match(token)
    if matched is None:
        return []
    minus, digits, suffix = matched.groups()
    suffix = suffix.strip().lower()
    own = None if suffix in _SCALES else unit_of(suffix, after_digits=True)
    unit = own or unit_of(following, after_digits=following in _APART_TOO) or UNIT_OF.get(sign)
    clock = suffix if suffix in {"am", "pm"} else following
    if clock in {"am", "pm"} or (":" in digits and digits.count(":") <= 2):
        return [Amount(_clock(digits, clock), "time")]
    if "-" in digits and digits.count("-") == 1:
        return [Amount(plain(part), unit) for part in digits.split("-")]
    value = plain(digits)
    power = _SCALES.get(suffix) or _SCALES.get(following)
    if power is None and following in LARGE:
        value = _times(value, LARGE[following])
    elif power is not None:
        value = _times(value, 10**power)
    is_weak = value == "1" or suffix in _ORDINAL_ENDINGS
    return [Amount(("-" if minus == "-" else "") + value, unit, is_weak)]


def plain(digits: str) -> str:
    """Digits without separators of thousands, and with dates in one form."""
    if _GROUPED.fullmatch(digits):
        digits = digits.replace(",", "")
    if "/" in digits or "-" in digits:
        return "/".join(part.lstrip("0") or "0" for part in re.split(r"[-/]", digits))
    whole, point, fraction = digits.partition(".")
    return whole if point and fraction in {"00", ""} else digits


def _times(value: str, factor: int) -> str:
    """Exact for what people write, such as 2.5 times a million."""
    whole, _, fraction = value.partition(".")
    if not (whole + fraction).isdecimal():
        return value
    scaled, over = divmod(int(whole + fraction) * factor, 10 ** len(fraction))
    return str(scaled) if not over else f"{value}*{factor}"


def _clock(digits: str, half: str) -> str:
    hours, _, rest = digits.partition(":") if ":" in digits else digits.partition(".")
    if not hours.isdecimal():
        return digits + half
    hour = int(hours)
    if half in {"am", "pm"} and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return f"{hour}:{rest or '00'}"
