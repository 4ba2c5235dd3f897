"""Words that cannot stand for each other: opposites, and members of small sets (weekdays, months, units, colours).

A word belongs to a side of a contest; two questions are rivals in it where each takes a side that the other does not.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from policies.questions.opposites import DAYS, KINDS, MONTHS, OPPOSITES, PLACES, TIMES
from policies.questions.units import DIMENSIONS, UNIT_OF
from policies.questions.words import stem


class Contest(IntEnum):
    """What kind of words take sides."""

    OPPOSITES = 0
    DATES = 1
    UNITS = 2
    PLACES = 3
    KINDS = 4


class Side(NamedTuple):
    """`contest` and the number of its set; `side` within that."""

    contest: Contest
    number: int
    side: int


def _contests() -> dict[str, frozenset[Side]]:
    found: dict[str, set[Side]] = {}
    tables = (
        (Contest.OPPOSITES, OPPOSITES.strip().splitlines()),
        (Contest.DATES, [_joined(DAYS), _joined(MONTHS)]),
        (Contest.UNITS, ["|".join(_names(unit) for unit in line.split()) for line in DIMENSIONS]),
        (Contest.UNITS, [TIMES]),
        (Contest.PLACES, [_joined(PLACES)]),
        (Contest.KINDS, [line.replace(" ", "|") for line in KINDS.strip().splitlines()]),
    )
    number = 0
    for contest, lines in tables:
        for line in lines:
            number += 1
            for side, words in enumerate(line.split("|")):
                for word in words.split():
                    found.setdefault(word, set()).add(Side(contest, number, side))
                    found.setdefault(stem(word), set()).add(Side(contest, number, side))
    return {word: frozenset(sides) for word, sides in found.items()}


def _joined(lines: str) -> str:
    return lines.replace("\n", "")


def _names(unit: str) -> str:
    """A unit's names that mean nothing else where there are no digits."""
    return " ".join(name for name, one in UNIT_OF.items() if one == unit and len(name) > 2)


SIDES: Final = _contests()
"""The sides that a word takes, by the word and by its stem."""

PARTICLES: Final = {
    word: Side(Contest.OPPOSITES, -1 - number, side)
    for number, pair in enumerate((("on", "off"), ("in", "out"), ("up", "down")))
    for side, word in enumerate(pair)
}
"""Sides that a small word takes beside one of `PHRASAL`, wherever that stands: "turn the light on"."""
PHRASAL: Final = frozenset(
    {"turn", "switch", "check", "log", "sign", "opt", "clock", "plug", "lock", "zoom", "scal", "power", "toggl", "roll"}
)

NEARNESS: Final = {
    word: Side(Contest.DATES, -9, side)
    for side, words in enumerate(("last past previous", "this current", "next coming following"))
    for word in words.split()
}
"""Sides that a word takes before one of `SPANS`: "last year", "this year"."""
SPANS: Final = frozenset({
    "year", "years", "month", "months", "week", "weeks", "weekend", "quarter", "season", "semester", "night", "summer",
    "winter", "spring", "autumn",
})  # fmt: skip
