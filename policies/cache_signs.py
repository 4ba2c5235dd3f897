"""What the words of two questions say beside their vectors: signs that the same answer will not do for both.

A veto forbids; the other signs are numbers from 0 up, 0 where nothing speaks against it, for a curve to weigh.
Comparing is symmetrical, and a question has no sign against itself.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.cache_antonyms import Contest, Side
from policies.cache_reading import Reading, read
from policies.cache_words import word_of

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


class Veto(StrEnum):
    """What forbids a hit whatever the similarity; the value is shown and counted."""

    NUMBERS = "numbers"
    UNITS = "units"
    DATES = "dates"
    IDS = "ids"
    CODE = "code"
    NEGATION = "negation"
    ANTONYMS = "antonyms"
    ORDER = "order"  # "from A to B" beside "from B to A"
    LENGTH = "length"  # too long to be read to the end, and not equal there
    ENTITIES = "entities"  # where the route checks them


class Signs(NamedTuple):
    """`veto`: the first that applies. Weights of words go from 0 (grammar) to 1 (rare).

    `unlike`: the share of the words' weight that only one side has (a weighted Jaccard distance). `swapped`: the weight
    of what only one side has, on the side where it is less: 0 where all that one asks is in the other. `extra`: how
    much more it is on the other side. `rarest`: the heaviest word that only one side has. `slot`: 1 where the two are
    word for word the same but for one place. `order`: the share of pairs of common words in the other order. `length`:
    how unequal the numbers of words are. `question`: 1 where they ask for different things (who, when), 0.5 where that
    may be. `negation`: one is denied, the other not. `opposed`: how many opposites. `names`: how many names only one
    side has, `renamed` on the side where they are fewer. `amounts`: numbers that only one side has. `person`: who asks
    or is asked about differs. `foreign`: 1 where most words are of no language whose words are known here. `brief`: one
    over the number of words that say something, where they are more: of few words, each can turn the meaning.
    """

    veto: Veto | None = None
    unlike: float = 0.0
    swapped: float = 0.0
    extra: float = 0.0
    rarest: float = 0.0
    slot: float = 0.0
    order: float = 0.0
    length: float = 0.0
    question: float = 0.0
    negation: float = 0.0
    opposed: float = 0.0
    names: float = 0.0
    renamed: float = 0.0
    amounts: float = 0.0
    person: float = 0.0
    foreign: float = 0.0
    brief: float = 0.0


def compare(question: str, stored: str, *, checks_entities: bool = False) -> Signs:
    """The signs that `stored`'s answer will not do for `question`."""
    if question == stored:
        return Signs()
    return compare_readings(read(question), read(stored), checks_entities=checks_entities)


def compare_readings(one: Reading, other: Reading, *, checks_entities: bool = False) -> Signs:
    """As `compare`, of questions that have been read."""
    if one.text == other.text:
        return Signs()
    left, right = one.stems - other.stems, other.stems - one.stems
    weights = one.weights | other.weights
    left_weight, right_weight = sum(weights[s] for s in left), sum(weights[s] for s in right)
    common_weight = sum(weights[s] for s in one.stems & other.stems)
    total = common_weight + left_weight + right_weight
    rivals = _rivals(one.sides, other.sides) if one.sides != other.sides else ()
    opposed = float(sum(side.contest is Contest.OPPOSITES for side in rivals))
    renamed, names = _named(one, other)
    amounts = abs(len(one.amounts) - len(other.amounts)) if one.amounts != other.amounts else 0
    return Signs(
        veto=_veto(one, other, rivals, renamed=renamed if checks_entities else 0),
        unlike=(left_weight + right_weight) / total if total else float(one.words != other.words),
        swapped=min(left_weight, right_weight),
        extra=abs(left_weight - right_weight),
        rarest=max((weights[s] for s in left | right), default=0.0),
        slot=_slot(one.words, other.words),
        order=_order(one, other),
        length=1.0 - min(len(one.words), len(other.words)) / max(len(one.words), len(other.words), 1),
        question=_asks_other(one.asks, other.asks),
        negation=float(one.negations % 2 != other.negations % 2),
        opposed=opposed,
        names=float(names),
        renamed=float(renamed),
        amounts=float(amounts),
        person=float(one.persons != other.persons),
        foreign=max(one.foreign, other.foreign),
        brief=1.0 / max(len(one.stems), len(other.stems), 1),
    )


def _veto(one: Reading, other: Reading, rivals: tuple[Side, ...], *, renamed: int) -> Veto | None:
    return _other_things(one, other) or _other_times(rivals) or _other_sense(one, other, rivals, renamed=renamed)


def _other_things(one: Reading, other: Reading) -> Veto | None:
    if one.tail != other.tail:
        return Veto.LENGTH
    if one.code != other.code:
        return Veto.CODE
    if one.ids != other.ids:
        return Veto.IDS
    if one.amounts != other.amounts and _differ(one, other):
        return Veto.NUMBERS
    return Veto.UNITS if one.units != other.units and _measured_otherwise(one, other) else None


def _other_times(rivals: tuple[Side, ...]) -> Veto | None:
    contests = {side.contest for side in rivals}
    if Contest.DATES in contests:
        return Veto.DATES
    return Veto.UNITS if Contest.UNITS in contests else None


def _other_sense(one: Reading, other: Reading, rivals: tuple[Side, ...], *, renamed: int) -> Veto | None:
    """To be denied the opposite is to be told the same."""
    is_opposed = sum(side.contest is Contest.OPPOSITES for side in rivals) % 2 == 1
    is_denied = one.negations % 2 != other.negations % 2
    if is_denied != is_opposed:
        return Veto.NEGATION if is_denied else Veto.ANTONYMS
    if one.relations and not one.relations.isdisjoint((right, word, left) for left, word, right in other.relations):
        return Veto.ORDER if one.relations != other.relations else None
    return Veto.ENTITIES if renamed else None


def _differ(one: Reading, other: Reading) -> bool:
    """Numbers that only one side has; one that may be left out counts only against another."""
    left, right = _without(one.amounts, other.amounts), _without(other.amounts, one.amounts)
    if left and right:
        return True
    return any(not (one if left else other).weak.issuperset({value}) for value in left or right)


def _without(values: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    rest = list(others)
    found = []
    for value in values:
        if value in rest:
            rest.remove(value)
        else:
            found.append(value)
    return found


def _measured_otherwise(one: Reading, other: Reading) -> bool:
    mine, theirs = dict(one.units), dict(other.units)
    return any(theirs.get(value, unit) != unit for value, unit in mine.items())


def _rivals(one: AbstractSet[Side], other: AbstractSet[Side]) -> tuple[Side, ...]:
    """The sides only `one` takes, in contests where `other` takes another side that `one` does not."""
    theirs = {side.number for side in other - one}
    return tuple(side for side in one - other if side.number in theirs)


def _named(one: Reading, other: Reading) -> tuple[int, int]:
    """How many names only one side has: on the side where they are fewer, and in all."""
    left = len(one.names - other.stems) if one.names else 0
    right = len(other.names - one.stems) if other.names else 0
    return min(left, right), left + right


_SLOT_WORDS_MAX: Final = 3


def _slot(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """1 where both are the same before and behind one place, at which each has up to three words that say something."""
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
    return float(any(word_of(word).weight for word in mine) and any(word_of(word).weight for word in theirs))


def _order(one: Reading, other: Reading) -> float:
    """The share of neighbouring common words that stand the other way round."""
    if one.sequence == other.sequence:
        return 0.0
    places = {stem: place for place, stem in enumerate(other.sequence)}
    common = [places[stem] for stem in one.sequence if stem in places]
    if len(common) < 2:
        return 0.0
    return sum(first > second for first, second in pairwise(common)) / (len(common) - 1)


def _asks_other(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return 1.0 if one in _PLAIN_ASKS and other in _PLAIN_ASKS else 0.5


_PLAIN_ASKS: Final = frozenset({"who", "when", "where", "why", "how much", "how many", "how long"})
