"""What people write for limits: `60/min`, `100k/min`, `1000/2h`, `20 USD/month`, `$5/10min`, `8` at once."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.config.problems import did_you_mean
from gateway.config.quantities import NANOUSD
from policies.limits import EXACT_MAX
from policies.vocabulary import Period

MULTIPLES: Final = {"": 1, "k": 1000, "M": 10**6, "G": 10**9}
RATE_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
UNITS: Final = (*RATE_UNITS, *Period)
WINDOW_MAX_S: Final = 31 * 86_400.0

NUMBER: Final = r"[0-9]{1,16}(\.[0-9]{1,9})?[kMG]?"
WINDOW: Final = r"([1-9][0-9]{0,6})?(s|min|h)|day|week|month"
COUNT: Final = f"{NUMBER}/({WINDOW})"
SUM: Final = rf"(\$ ?{NUMBER}|{NUMBER} ?USD)"
MONEY: Final = rf"{SUM} ?/ ?({WINDOW})"

_QUOTA: Final = re.compile(
    r"(?P<dollar>\$ ?)?(?P<sign>[-+]?)(?P<number>[0-9]{1,16}(?:\.[0-9]{1,9})?)(?P<multiple>[A-Za-z]?)"
    r"(?: ?(?P<currency>[A-Z]{3}))?(?P<window> ?/ ?.*)?",
    re.DOTALL,
)
_WINDOW: Final = re.compile(r"([0-9]{0,9}) ?([A-Za-z]{1,12})")
# What people write for a unit, where no near miss of a letter or two.
_OTHER_WORDS: Final = {
    "m": "min",
    "minute": "min",
    "minutes": "min",
    "mins": "min",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "hr": "h",
    "hour": "h",
    "hours": "h",
    "d": "day",
    "daily": "day",
    "w": "week",
    "wk": "week",
    "mo": "month",
    "mon": "month",
    "M": "month",
}


class Quota(NamedTuple):
    """An amount in its resource's unit (nano-USD for money), and the window as `policies.vocabulary.Limit` has it."""

    amount: int
    window: float | Period | None


def count_quota(text: object) -> Quota:
    """So many requests or tokens in a window. Raises `ValueError`."""
    found = _taken_apart(text, "must be an amount and a window such as 60/min, 100k/min or 1.5M/day")
    if found["dollar"] or found["currency"]:
        raise ValueError("counts requests or tokens, not money; a limit on money is cost: 20 USD/month")
    return Quota(_amount(found, 1), _window(found["window"], "60/min"))


def money_quota(text: object) -> Quota:
    """So much money in a window. Raises `ValueError`."""
    found = _taken_apart(text, "must be an amount and a window such as 20 USD/month or $5/day")
    _in_dollars(found, "20 USD/month or $20/month")
    return Quota(_amount(found, NANOUSD), _window(found["window"], "20 USD/month"))


def money_nanousd(text: object) -> int:
    """So much money, once. Raises `ValueError`."""
    found = _taken_apart(text, "must be an amount such as 0.02 USD or $0.02")
    _in_dollars(found, "0.02 USD or $0.02")
    if found["window"] is not None:
        raise ValueError("is an amount for one call and has no window; write 0.02 USD")
    return _amount(found, NANOUSD)


def concurrent_quota(value: object) -> Quota:
    """So many calls at once. Raises `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch("[0-9]{1,16}", str(value)):
        extra = "; calls at once have no window" if isinstance(value, str) and "/" in value else ""
        raise ValueError(f"must be a whole number such as 8{extra}")
    return Quota(_bounded(Decimal(value), "1"), None)


def window_name(window: float | Period) -> str:
    """A window as it is written, in its largest unit: `min`, `10min`, `2h`, `month`."""
    if isinstance(window, Period):
        return window.value
    unit, seconds = next(unit for unit in reversed(RATE_UNITS.items()) if window % unit[1] == 0)
    return unit if window == seconds else f"{window / seconds:.0f}{unit}"


def _taken_apart(text: object, otherwise: str) -> dict[str, str | None]:
    if isinstance(text, int | float) and not isinstance(text, bool):
        text = str(text)
    found = _QUOTA.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(otherwise)
    if found["sign"] == "-":
        raise ValueError("must be more than 0")
    if found["sign"]:
        raise ValueError(otherwise)
    if found["multiple"] not in MULTIPLES:
        raise ValueError("has an unknown multiple: write k, M or G")
    return found.groupdict()


def _in_dollars(found: dict[str, str | None], example: str) -> None:
    if found["dollar"] and found["currency"]:
        raise ValueError(f"names its currency twice; write {example}")
    if not found["dollar"] and found["currency"] != "USD":
        wrong = "has no currency" if found["currency"] is None else "counts in USD only"
        raise ValueError(f"{wrong}; write {example}")


def _amount(found: dict[str, str | None], unit: int) -> int:
    exact = Decimal(found["number"] or "") * MULTIPLES[found["multiple"] or ""] * unit
    return _bounded(exact, "1" if unit == 1 else "a nano-dollar")


def _bounded(exact: Decimal, least: str) -> int:
    if exact == 0:
        raise ValueError("must be more than 0")
    if exact != int(exact):
        raise ValueError(f"must not be finer than {least}")
    if exact >= EXACT_MAX:
        raise ValueError(f"is too much to be counted exactly: at most {EXACT_MAX - 1:,} (nano-USD for money)")
    return int(exact)


def _window(text: str | None, example: str) -> float | Period:
    if text is None:
        raise ValueError(f"has no window; write {example}")
    found = _WINDOW.fullmatch(text.replace("/", "", 1).strip(" "))
    unit = found[2] if found else ""
    if found is None or unit not in UNITS:
        near = f" (did you mean '{_OTHER_WORDS[unit]}'?)" if unit in _OTHER_WORDS else did_you_mean(unit, UNITS)
        raise ValueError(f"has an unknown window: s, min or h with a number if need be, or day, week, month{near}")
    if unit not in RATE_UNITS:
        if found[1]:
            raise ValueError(f"counts by whole calendar {unit}s: write /{unit}, or hours such as /24h")
        return Period(unit)
    seconds = RATE_UNITS[unit] * int(found[1] or 1)
    if not 0 < seconds <= WINDOW_MAX_S:
        raise ValueError("has a window that is not longer than 0 and at most 31 days (744h)")
    return seconds
