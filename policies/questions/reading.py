"""A question read once: everything that comparing it with others goes by."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.questions.amounts import ROMAN, amounts_in
from policies.questions.antonyms import NEARNESS, PARTICLES, PHRASAL, SIDES, SPANS, Side
from policies.questions.denials import Denials, denials_in
from policies.questions.spoken import NUMBER_WORDS, spoken
from policies.questions.units import UNIT_OF, Amount
from policies.questions.wording import unmannered
from policies.questions.words import TOKEN, WORD_CHARS_MAX, Word, word_of

if TYPE_CHECKING:
    from collections.abc import Sequence

CHARS_MAX: Final = 20_000
"""What stands behind is not read: it must be equal."""

Relation = tuple[str, str, str]


class Reading(NamedTuple):
    """`words` are in lower case; `sequence` are the stems of those that say something, `stems` the same without order,
    with their `weights`. `weak` are the `amounts` that the other side may do without. `marks` are short names with
    digits in them ("4k"), `ids` longer ones. `names` are capitalised words, as stem and as written.
    """

    text: str
    tail: str
    words: tuple[str, ...]
    sequence: tuple[str, ...]
    stems: frozenset[str]
    weights: dict[str, float]
    amounts: tuple[str, ...]
    weak: frozenset[str]
    units: frozenset[tuple[str, str]]
    ids: frozenset[str]
    marks: frozenset[str]
    code: tuple[str, ...]
    sides: frozenset[Side]
    denials: Denials
    names: frozenset[tuple[str, str]]
    relations: frozenset[Relation]
    asks: str
    persons: frozenset[str]
    foreign: float


_CODE: Final = frozenset({"fence", "quoted", "path", "flag", "call", "name", "sign"})
_CURRENCIES: Final = frozenset("$€£¥₹₽₩")
_OPERAND_BEFORE: Final = re.compile(r"(?:\d|(?<![^\W_])[A-Za-z]|[)\]])\s?$")
_OPERAND_BEHIND: Final = re.compile(r"\s?(?:[-+]?\d|[A-Za-z](?![^\W_])|[(\[])")
_COMPARED: Final = re.compile(r"\w\s[<>=]\s\w")
_MARK_CHARS_MAX: Final = 4
_CAPITALS_MAX: Final = 6
_UNSPACED_RANGES: Final = r"\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_UNSPACED: Final = re.compile(rf"[{_UNSPACED_RANGES}]|[^{_UNSPACED_RANGES}]+")
"""Scripts that put no spaces between words: each letter is taken for one."""
_ABBREVIATED: Final = re.compile(r"\bU\.\s?([SK])\.?(?:\s?A\.)?(?=\W|$)")
_PERSONS: Final = {
    "i": "i", "me": "i", "my": "i", "mine": "i", "myself": "i", "im": "i", "ive": "i", "i'm": "i", "i've": "i",
    "he": "he", "him": "he", "his": "he", "himself": "he", "she": "she", "her": "she", "hers": "she", "herself": "she",
}  # fmt: skip
_RELATING: Final = frozenset({
    "to", "into", "from", "than", "over", "before", "after", "by", "of", "as", "without", "under",
})  # fmt: skip
_ASKING: Final = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why", "which": "what",
    "what": "what", "what's": "what", "how": "how",
}  # fmt: skip
_ASKING_MORE: Final = {
    ("how", "much"): "how much", ("how", "many"): "how many", ("how", "long"): "how long",
    ("how", "often"): "how often", ("how", "old"): "how old", ("how", "far"): "how far",
    ("how", "come"): "why", ("what", "time"): "when", ("what", "date"): "when", ("what", "year"): "when",
    ("what", "day"): "when", ("what", "place"): "where", ("what", "reason"): "why",
}  # fmt: skip
_ASKING_WITHIN: Final = 12
_SINCE: Final = frozenset({"ago", "already", "now"})
_LASTING: Final = frozenset({"past", "last", "been", "waiting", "waited"})


def read(question: str) -> Reading:
    """Takes time in proportion to its length, up to a bound."""
    text = unmannered(question[:CHARS_MAX])
    if "U." in text:
        text = _ABBREVIATED.sub(r"U\1", text)
    notes = _Notes()
    for token in TOKEN.finditer(text):
        kind = token.lastgroup or ""
        if kind == "plain" and (word := token.group()).islower() and word.isascii() and "'" not in word:
            notes.words.append(word)
        elif kind in {"plain", "word"}:
            notes.word(token.group(), token.start())
        elif kind in {"number", "mixed"}:
            notes.number(token.group(), kind)
        elif kind in _CODE:
            notes.sign(token.group(), is_code=kind != "sign" or _operates(text, token.start(), token.end()))
        else:
            found = token.group().rstrip(".,;:!?)")
            notes.ids.append(found if kind == "url" else found.lower())
    return notes.reading(question)


class _Notes:
    """What has been found so far. `digits`: place, token and currency; `capitals`: place and word, as written."""

    __slots__ = ("capitals", "code", "currency", "digits", "ids", "marks", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.digits: list[tuple[int, str, str]] = []
        self.ids: list[str] = []
        self.marks: list[str] = []
        self.code: list[str] = []
        self.capitals: list[tuple[int, str]] = []
        self.currency = ""

    def word(self, text: str, start: int) -> None:
        lower = text.lower()
        if lower != text and len(text) <= WORD_CHARS_MAX:
            self.capitals.append((len(self.words) if start else -1, text.removesuffix("'s")))
        if text.isascii():
            self.words.append("usa" if text == "US" else lower.removesuffix("'s"))
        else:
            self.words += _UNSPACED.findall(lower)

    def number(self, text: str, kind: str) -> None:
        if kind == "mixed":
            letters = text.rstrip("0123456789")
            if not (letters.isalpha() and len(letters) > 2):
                (self.marks if len(text) <= _MARK_CHARS_MAX else self.ids).append(text.lower())
                self.words.append(text.lower())
                return
            self.words.append(letters.lower())  # iPhone7 is iPhone 7
            text = text[len(letters) :]
        self.digits.append((len(self.words), text, self.currency))
        self.currency = ""
        self.words.append(text)

    def sign(self, text: str, *, is_code: bool) -> None:
        if text not in _CURRENCIES:
            if is_code:
                self.code.append(text.strip("`").strip().rstrip(".") or text)
        elif self.digits and self.digits[-1][0] == len(self.words) - 1 and not self.digits[-1][2]:
            self.digits[-1] = (*self.digits[-1][:2], text)
        else:
            self.currency = text

    def reading(self, question: str) -> Reading:
        words = self.words
        known = [word_of(word) for word in words]
        amounts, places = self._amounts()
        said = [word for place, word in enumerate(known) if word.weight and place not in places]
        sequence = tuple([word.stem for word in said])
        return Reading(
            text=question,
            tail=question[CHARS_MAX:],
            words=tuple(words),
            sequence=sequence,
            stems=frozenset(sequence),
            weights={word.stem: word.weight for word in said},
            amounts=tuple(sorted([amount.value for amount in amounts])),
            weak=frozenset([amount.value for amount in amounts if amount.is_weak]),
            units=frozenset([(amount.value, amount.unit) for amount in amounts if amount.unit]),
            ids=frozenset(self.ids),
            marks=frozenset(self.marks),
            code=tuple(sorted(self.code)),
            sides=_sides(words, known),
            denials=denials_in(words),
            names=self._names(known),
            relations=_relations(words, known),
            asks=_asks(words),
            persons=frozenset([_PERSONS[word] for word in words if word in _PERSONS]),
            foreign=float(len(words) > 3 and 3 * sum(word.is_known for word in known) < len(words)),
        )

    def _amounts(self) -> tuple[list[Amount], set[int]]:
        """The numbers, and the places of the words that are parts of them."""
        amounts: list[Amount] = []
        places: set[int] = set()
        words = self.words
        for place, text, currency in self.digits:
            following = words[place + 1] if place + 1 < len(words) else ""
            before = words[place - 1] if place else ""
            found = amounts_in(text, following, currency or before)
            amounts += [amount._replace(is_weak=True) for amount in found] if self._lasted(place) else found
            places.update((place, place + 1) if following in UNIT_OF or following in NUMBER_WORDS else (place,))
        if not NUMBER_WORDS.isdisjoint(words):
            for place, amount in spoken(words):
                amounts.append(amount._replace(is_weak=amount.is_weak or self._lasted(place)))
                places.update((place, place + 1) if amount.unit else (place,))
        amounts += [
            Amount(str(ROMAN[text]), is_weak=True) for place, text in self.capitals if text in ROMAN and place > 0
        ]
        return amounts, places

    def _lasted(self, place: int) -> bool:
        """For how long something has gone on already: told beside a question rather than asked about."""
        return not _SINCE.isdisjoint(self.words[place + 1 : place + 3]) or not _LASTING.isdisjoint(
            self.words[max(0, place - 2) : place]
        )

    def _names(self, known: Sequence[Word]) -> frozenset[tuple[str, str]]:
        """Capitalised words that do not begin the text; none where most words are capitalised."""
        if not self.capitals or (2 * len(self.capitals) > len(known) and len(known) > _CAPITALS_MAX):
            return frozenset()
        return frozenset(
            [(known[place].stem, text) for place, text in self.capitals if place > 0 and known[place].weight]
        )


def _operates(text: str, start: int, end: int) -> bool:
    """Whether a sign stands between things that it can work on, rather than for decoration."""
    if end - start > 1:
        return True
    is_between = _OPERAND_BEFORE.search(text[max(0, start - 3) : start]) and _OPERAND_BEHIND.match(text[end : end + 4])
    return bool(is_between or _COMPARED.fullmatch(text[max(0, start - 2) : end + 2]))


def _sides(words: Sequence[str], known: Sequence[Word]) -> frozenset[Side]:
    found: list[Side] = []
    for place, word in enumerate(known):
        sides = SIDES.get(words[place]) or SIDES.get(word.stem)
        if sides:
            found += sides
    if not PARTICLES.keys().isdisjoint(words) and any(word.stem in PHRASAL for word in known):
        found += [PARTICLES[word] for word in words if word in PARTICLES]
    if not SPANS.isdisjoint(words):
        found += [NEARNESS[word] for word, span in pairwise(words) if span in SPANS and word in NEARNESS]
    return frozenset(found)


def _relations(words: Sequence[str], known: Sequence[Word]) -> frozenset[Relation]:
    """What stands on either side of a word that relates two things: up to two words on each."""
    if _RELATING.isdisjoint(words):
        return frozenset()
    found = []
    for place, word in enumerate(words):
        if word in _RELATING:
            before = [known[one].stem for one in range(max(0, place - 3), place) if known[one].weight][-2:]
            behind = [known[one].stem for one in range(place + 1, min(place + 4, len(words))) if known[one].weight][:2]
            found += [(left, word, right) for left in before for right in behind]
    return frozenset(found)


def _asks(words: Sequence[str]) -> str:
    for place, word in enumerate(words[:_ASKING_WITHIN]):
        asked = _ASKING.get(word)
        if asked is not None:
            return _ASKING_MORE.get((asked, words[place + 1]), asked) if place + 1 < len(words) else asked
    return ""
