"""What the words of two questions say beside their vectors: signs that the same answer will not do for both.

A veto forbids; the other signs are numbers from 0 up, 0 where nothing speaks against it, for a curve to weigh.
Comparing is symmetrical, and a question has no sign against itself.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.questions.reading import read
from policies.questions.vetoes import Veto, contrast, veto

if TYPE_CHECKING:
    from policies.questions.reading import Reading

__all__ = ["Signs", "Veto", "compare", "compare_readings", "read"]


class Signs(NamedTuple):
    """`veto`: the first that applies. Weights of words go from 0 (grammar) to 1 (rare).

    `unlike`: the share of the words' weight that only one side has (a weighted Jaccard distance). `swapped`: the weight
    of what only one side has, on the side where it is less: 0 where all that one asks is in the other. `extra`: how
    much more it is on the other side. `rarest`: the heaviest word that only one side has. `slot`: where
    the two are word for word the same but for one place, the weight of what stands there, on the side where it is less.
    `order`: the share of pairs of common words in the other order. `length`:
    how unequal the numbers of words are. `question`: 1 where they ask for different things (who, when), 0.5 where that
    may be. `negation`: one is denied, the other not. `opposed`: how many opposites; `siblings`: how many members of a
    small set, such as countries or colours, stand in the place of another. `names`: how many names only one
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
    siblings: float = 0.0


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
    left_weights, right_weights = [one.weights[stem] for stem in left], [other.weights[stem] for stem in right]
    mine, theirs = sum(left_weights, 0.0), sum(right_weights, 0.0)
    total = sum([min(one.weights[stem], other.weights[stem]) for stem in one.stems & other.stems]) + mine + theirs
    unlike = (mine + theirs) / total if total else float(one.words != other.words)
    against = contrast(one, other, unlike)
    return Signs(
        veto=veto(one, other, against, checks_entities=checks_entities),
        unlike=unlike,
        swapped=min(mine, theirs),
        extra=abs(mine - theirs),
        rarest=max(left_weights + right_weights, default=0.0),
        slot=against.slot,
        order=_order(one, other),
        length=abs(len(one.words) - len(other.words)) / max(len(one.words), len(other.words), 1),
        question=_asks_other(one.asks, other.asks),
        negation=float(against.is_denied),
        opposed=float(against.opposed),
        names=float(against.named.names),
        renamed=float(against.named.renamed),
        amounts=float(len(set(one.amounts) ^ set(other.amounts))),
        person=float(one.persons != other.persons),
        foreign=max(one.foreign, other.foreign),
        brief=1.0 / max(len(one.stems), len(other.stems), 1),
        siblings=float(against.siblings),
    )


_ORDERED_MAX: Final = 24


def _order(one: Reading, other: Reading) -> float:
    """The share of pairs of common words that stand the other way round."""
    if one.sequence == other.sequence:
        return 0.0
    places = {stem: place for place, stem in reversed(list(enumerate(other.sequence)))}
    common = [places[stem] for stem in dict.fromkeys(one.sequence) if stem in places][:_ORDERED_MAX]
    pairs = len(common) * (len(common) - 1) // 2
    return sum([first > second for first, second in combinations(common, 2)]) / pairs if pairs else 0.0


def _asks_other(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return 1.0 if one in _PLAIN_ASKS and other in _PLAIN_ASKS else 0.5


_PLAIN_ASKS: Final = frozenset({"who", "when", "where", "why", "how much", "how many", "how long"})
