"""Units of measure by all their names, and amounts of them."""

from __future__ import annotations

from typing import Final, NamedTuple

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


class Amount(NamedTuple):
    """`value` in one form; `is_weak` where the other side may do without it ("one", "the first")."""

    value: str
    unit: str | None = None
    is_weak: bool = False


def unit_of(word: str, *, after_digits: bool = False) -> str | None:
    """The unit that a word names; a letter or two do so only after digits."""
    return None if word in _AFTER_DIGITS_ONLY and not after_digits else UNIT_OF.get(word)
