"""Numbers, their units and times of the clock, in one form however they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS: Final = """
s second seconds sec secs
min minute minutes mins
h hour hours hr hrs hourly
day days daily
week weeks wk wks weekly
month months monthly
year years yr yrs yearly annual annually annum
decade decades
century centuries
mm millimeter millimeters millimetre millimetres
cm centimeter centimeters centimetre centimetres
m meter meters metre metres
km kilometer kilometers kilometre kilometres kms
in inch inches
ft foot feet
yard yards yd yds
mile miles mi
mg milligram milligrams
g gram grams gramme grammes gm gms
kg kilogram kilograms kilo kilos kgs
lb pound pounds lbs
oz ounce ounces
ton tons tonne tonnes
ml milliliter milliliters millilitre millilitres
l liter liters litre litres
gallon gallons gal
cup cups
tbsp tablespoon tablespoons
tsp teaspoon teaspoons
bit bits
kb kilobyte kilobytes
mb megabyte megabytes
gb gigabyte gigabytes gigs gig
tb terabyte terabytes
kbps kbit
mbps mbit
gbps gbit
hz hertz
mhz megahertz
ghz gigahertz
w watt watts
kw kilowatt kilowatts
mw megawatt megawatts
kwh
v volt volts
ma milliamp milliamps
mah
a amp amps ampere
j joule joules
cal calorie calories
kcal
mph
kmh kph kmph
c celsius centigrade
f fahrenheit
k kelvin
usd dollar dollars bucks $
eur euro euros €
gbp £ quid sterling
jpy yen ¥
inr rupee rupees rs ₹
rub ruble rubles rouble roubles ₽
cent cents
pence
% percent percentage pct
px pixel pixels
"""
UNIT_OF: Final = {name: line.split()[0] for line in _UNITS.strip().splitlines() for name in line.split()}
"""By every name of a unit, the one that stands for it."""

DIMENSIONS: Final = (
    "s min h day week month year decade century",
    "mm cm m km in ft yard mile",
    "mg g kg lb oz ton",
    "ml l gallon cup tbsp tsp",
    "kb mb gb tb",
    "c f k",
    "usd eur gbp jpy inr rub",
    "w kw mw kwh",
)
"""Units that measure the same, so that one in the place of another is another question."""

_AFTER_DIGITS_ONLY: Final = frozenset(
    {"s", "h", "m", "in", "g", "l", "v", "a", "c", "f", "k", "w", "j", "ma", "mi", "rs"}
)
_SCALES: Final = {"k": 3, "bn": 9, "mn": 6, "mio": 6}
_ORDINAL_ENDINGS: Final = frozenset({"st", "nd", "rd", "th"})
_BEFORE_ORDINALS: Final = frozenset({"the", "my", "a", "your", "his", "her", "their"})
_SPOKEN_MAX: Final = 10**15

_SMALL: Final = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS: Final = {
    word: 10 * (number + 2)
    for number, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"])
}
_LARGE: Final = {
    "hundred": 10**2, "thousand": 10**3, "lakh": 10**5, "lakhs": 10**5, "million": 10**6, "crore": 10**7,
    "crores": 10**7, "billion": 10**9, "trillion": 10**12, "dozen": 12, "hundreds": 10**2,
    "thousands": 10**3, "millions": 10**6,
    "billions": 10**9,
}  # fmt: skip
_OTHER_TONGUES: Final = {
    word: number
    for number, line in enumerate(
        [
            "zwei deux tres dois twee",
            "drei trois tre três drie",
            "vier quatre cuatro quattro quatro",
            "fünf cinq cinco cinque vijf",
            "sechs seis sei zes",
            "sieben sept siete sette sete zeven",
            "acht huit ocho otto oito",
            "neun neuf nueve nove negen",
            "zehn dix diez dieci dez tien",
        ],
        2,
    )
    for word in line.split()
}
ORDINALS: Final = {
    word: number
    for number, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], 1
    )
}
ROMAN: Final = {"II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12}
NUMBER_WORDS: Final = frozenset({*_SMALL, *_TENS, *_LARGE, *_OTHER_TONGUES, *ORDINALS})

_DIGITS: Final = re.compile(r"([-+]?)(.*\d)(\D*)", re.DOTALL)
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Amount(NamedTuple):
    """`value` in one form; `is_weak` where the other side may do without it ("one", "the first")."""

    value: str
    unit: str | None = None
    is_weak: bool = False


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
    if power is None and following in _LARGE:
        value = _times(value, _LARGE[following])
    elif power is not None:
        value = _times(value, 10**power)
    is_weak = value == "1" or suffix in _ORDINAL_ENDINGS
    return [Amount(("-" if minus == "-" else "") + value, unit, is_weak)]


_APART_TOO: Final = frozenset({"h", "m", "g", "l", "s"})
"""Letters that stand for a unit after digits, even with a space between."""


def unit_of(word: str, *, after_digits: bool = False) -> str | None:
    """The unit that a word names; a letter or two do so only after digits."""
    return None if word in _AFTER_DIGITS_ONLY and not after_digits else UNIT_OF.get(word)


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


def spoken(words: Sequence[str]) -> list[tuple[int, Amount]]:
    """Numbers in words, each with the place where it ends."""
    found: list[tuple[int, Amount]] = []
    at = 0
    while at < len(words):
        if words[at] not in NUMBER_WORDS:
            at += 1
            continue
        end, amount = _spoken_at(words, at)
        if amount is not None:
            found.append((end - 1, amount))
        at = end
    return found


def _spoken_at(words: Sequence[str], start: int) -> tuple[int, Amount | None]:
    before = words[start - 1] if start else ""
    if words[start] in ORDINALS:
        is_time = words[start] == "second" and before not in _BEFORE_ORDINALS
        return start + 1, None if is_time else Amount(str(ORDINALS[words[start]]), is_weak=True)
    if words[start] in _OTHER_TONGUES:
        return start + 1, Amount(str(_OTHER_TONGUES[words[start]]))
    total, group, at = 0, 0, start
    while at < len(words) and total + group < _SPOKEN_MAX:
        word = words[at]
        small = _SMALL.get(word, _TENS.get(word))
        if word in _LARGE:
            group = (group or 1) * _LARGE[word]
            if _LARGE[word] >= 1000:
                total, group = total + group, 0
        elif small is not None and _goes_on(group, small):
            group += small
        elif not _joins(words, at, start):
            break
        at += 1
    if before.isdecimal() and words[start] in _LARGE:
        return at, None  # the digits before it have taken it in
    value = total + group
    return at, Amount(str(value), unit_of(words[at]) if at < len(words) else None, is_weak=value == 1)


def _goes_on(group: int, small: int) -> bool:
    """Whether one number is still being told: "twenty three" is one, "two three" are two."""
    return group % 100 == 0 or (group % 10 == 0 and small < 10)


def _joins(words: Sequence[str], at: int, start: int) -> bool:
    """The "and" of "two hundred and five"."""
    following = words[at + 1] if at + 1 < len(words) else ""
    return words[at] == "and" and at > start and words[at - 1] in _LARGE and following in _SMALL
