"""What forbids a hit whatever the similarity: the questions differ in something that similarity hardly sees.

Vetoes are for what changes an answer nearly always. What does so often only is a sign that is weighed: on streams of
questions, a rule that stops everything unusual costs more right answers than it prevents wrong ones.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.questions.antonyms import Contest, Side
from policies.questions.names import NONE_NAMED, Named, named
from policies.questions.words import word_of

if TYPE_CHECKING:
    from policies.questions.reading import Reading


class Veto(StrEnum):
    """The value is shown and counted."""

    NUMBERS = "numbers"
    UNITS = "units"
    DATES = "dates"
    IDS = "ids"
    CODE = "code"
    NEGATION = "negation"
    ANTONYMS = "antonyms"
    ORDER = "order"  # "from A to B" beside "from B to A"
    REPLACED = "replaced"  # one name, or member of a small set, for another where all the rest is the same
    LENGTH = "length"  # too long to be read to the end, and not equal there
    ENTITIES = "entities"  # where the route checks them


class Contrast(NamedTuple):
    """What two readings say against each other.

    `siblings` are members of one small set, such as two countries. `slot` is the lesser weight of what stands at the
    one place where they differ, if there is one such place. `is_loose`: both tell much, and mostly in other words, so
    that one word more or less says little.
    """

    opposed: int = 0
    siblings: int = 0
    is_timed_apart: bool = False
    is_measured_apart: bool = False
    is_denied: bool = False
    is_denied_alike: bool = False
    named: Named = NONE_NAMED
    slot: float = 0.0
    is_loose: bool = False


_DENYING_PREFIXES: Final = ("un", "in", "im", "ir", "il", "non", "dis", "mis")
_PREFIX_PAIRS: Final = (
    ("hyper", "hypo"), ("pre", "post"), ("over", "under"), ("inter", "intra"), ("macro", "micro"), ("up", "down"),
)  # fmt: skip
_FIRST_OF_PAIRS: Final = (*_DENYING_PREFIXES, *(prefix for prefix, _ in _PREFIX_PAIRS))
_STEM_MIN: Final = 4
_LOOSE: Final = 0.5
_LONG_WORDS: Final = 12


def contrast(one: Reading, other: Reading, unlike: float) -> Contrast:
    """The contrast of two questions, of whose words' weight the share `unlike` is on one side only."""
    contests = _contests(one, other) if one.sides != other.sides else []
    is_denied = one.denials.times % 2 != other.denials.times % 2
    return Contrast(
        opposed=contests.count(Contest.OPPOSITES) + _prefixed(one.stems, other.stems),
        siblings=contests.count(Contest.PLACES) + contests.count(Contest.KINDS),
        is_timed_apart=Contest.DATES in contests,
        is_measured_apart=Contest.UNITS in contests,
        is_denied=is_denied,
        is_denied_alike=is_denied and _denies_the_same(one, other),
        named=named(one, other),
        slot=_slot(one.words, other.words),
        is_loose=unlike > _LOOSE and min(len(one.words), len(other.words)) > _LONG_WORDS,
    )


def veto(one: Reading, other: Reading, against: Contrast, *, checks_entities: bool) -> Veto | None:
    """The first that applies."""
    return _other_things(one, other, against) or _other_sense(one, other, against, checks_entities=checks_entities)


def _other_things(one: Reading, other: Reading, against: Contrast) -> Veto | None:
    if one.tail != other.tail:
        return Veto.LENGTH
    if one.code != other.code:
        return Veto.CODE
    if one.ids != other.ids or (one.marks - other.marks and other.marks - one.marks):
        return Veto.IDS
    if one.amounts != other.amounts and _counts_apart(one, other, is_loose=against.is_loose):
        return Veto.NUMBERS
    return Veto.UNITS if one.units != other.units and _measures_apart(one, other) else None


def _other_sense(one: Reading, other: Reading, against: Contrast, *, checks_entities: bool) -> Veto | None:
    """To be denied the opposite is to be told the same."""
    if against.is_timed_apart:
        return Veto.DATES
    if against.is_measured_apart:
        return Veto.UNITS
    if not against.is_loose and against.opposed and not against.is_denied:
        return Veto.ANTONYMS
    if not against.is_loose and against.is_denied_alike and not against.opposed:
        return Veto.NEGATION
    if one.relations and other.relations and _is_turned(one, other):
        return Veto.ORDER
    return _other_names(against, checks_entities=checks_entities)


def _other_names(against: Contrast, *, checks_entities: bool) -> Veto | None:
    if not (against.named.renamed or against.siblings):
        return None
    if against.slot:
        return Veto.REPLACED
    return Veto.ENTITIES if checks_entities else None


def _counts_apart(one: Reading, other: Reading, *, is_loose: bool) -> bool:
    """Numbers that only one side has; one that may be left out counts only against another."""
    left, right = _without(one.amounts, other.amounts), _without(other.amounts, one.amounts)
    if left and right:
        return True
    weak = one.weak if left else other.weak
    return not is_loose and any(value not in weak for value in left or right)


def _without(values: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    rest = list(others)
    found = []
    for value in values:
        if value in rest:
            rest.remove(value)
        else:
            found.append(value)
    return found


def _measures_apart(one: Reading, other: Reading) -> bool:
    mine, theirs = dict(one.units), dict(other.units)
    return any(theirs.get(value, unit) != unit for value, unit in mine.items())


def _contests(one: Reading, other: Reading) -> list[Contest]:
    """The contests in which each side takes a side that the other does not."""
    mine, theirs = one.sides - other.sides, other.sides - one.sides
    if not mine or not theirs:
        return []
    numbers = {side.number for side in theirs}
    return list({side.number: side.contest for side in mine if side.number in numbers}.values())


def _prefixed(one: frozenset[str], other: frozenset[str]) -> int:
    """Words of one side beside which the other has the same with a denying or an opposite prefix: "safe", "unsafe"."""
    left, right = one - other, other - one
    if not left or not right:
        return 0
    return _turned_by_prefix(left, right) + _turned_by_prefix(right, left)


def _turned_by_prefix(stems: frozenset[str], others: frozenset[str]) -> int:
    found = 0
    for stem in stems:
        if len(stem) > _STEM_MIN and stem.startswith(_FIRST_OF_PAIRS):
            rests = [stem[len(prefix) :] for prefix in _DENYING_PREFIXES if stem.startswith(prefix)]
            rests += [turned + stem[len(prefix) :] for prefix, turned in _PREFIX_PAIRS if stem.startswith(prefix)]
            found += any(len(rest) >= _STEM_MIN and rest in others for rest in rests)
    return found


def _denies_the_same(one: Reading, other: Reading) -> bool:
    """Whether one side denies what the other says without denial; with equal words any denial does."""
    mine, theirs = one.denials.stems, other.denials.stems
    return bool((mine - theirs) & other.stems or (theirs - mine) & one.stems) or one.stems == other.stems


def _is_turned(one: Reading, other: Reading) -> bool:
    """Whether what one relates stands the other way round in the other, and only so."""
    mine, theirs = one.relations - other.relations, other.relations - one.relations
    return bool(mine) and not theirs.isdisjoint([(right, word, left) for left, word, right in mine])


_SLOT_WORDS_MAX: Final = 3


def _slot(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """The lesser weight of what stands at one place of each, up to three words, where all the rest is the same."""
    shorter = min(len(one), len(other))
    if max(len(one), len(other)) - shorter > _SLOT_WORDS_MAX:
        return 0.0
    before = 0
    while before < shorter and one[before] == other[before]:
        before += 1
    behind = 0
    while behind < shorter - before and one[-1 - behind] == other[-1 - behind]:
        behind += 1
    mine, theirs = one[before : len(one) - behind], other[before : len(other) - behind]
    if not 0 < max(len(mine), len(theirs)) <= _SLOT_WORDS_MAX or before + behind < 2:
        return 0.0
    return min(_heaviest(mine), _heaviest(theirs))


def _heaviest(words: tuple[str, ...]) -> float:
    return max([word_of(word).weight for word in words], default=0.0)


__all__ = ["Contrast", "Side", "Veto", "contrast", "veto"]
