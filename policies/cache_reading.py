"""A question read once: everything that comparing it with others goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.cache_antonyms import SIDES, Contest, Side
from policies.cache_numbers import NUMBER_WORDS, ROMAN, UNIT_OF, Amount, amounts_in, spoken
from policies.cache_wording import unmannered
from policies.cache_words import TOKEN, WORD_CHARS_MAX, word_of

if TYPE_CHECKING:
    from collections.abc import Sequence

CHARS_MAX: Final = 20_000
"""What stands behind is not read: it must be equal."""


class Reading(NamedTuple):
    """`words` are in lower case, `stems` those that say something, with their `weights`, `sequence` their order."""

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
    code: tuple[str, ...]
    sides: frozenset[Side]
    negations: int
    names: frozenset[str]
    relations: frozenset[tuple[str, str, str]]
    asks: str
    persons: frozenset[str]
    foreign: float


_CODE: Final = frozenset({"fence", "quoted", "path", "flag", "call", "name", "sign"})
_IDS: Final = frozenset({"url", "email", "uuid", "version", "ticket"})
_CURRENCIES: Final = frozenset("$€£¥₹₽₩")

_NEGATIVE_TEXT: Final = """
not never no none nobody nothing nowhere neither nor without cannot unable ain't dont doesnt didnt isnt arent wasnt
werent cant couldnt wouldnt wont shouldnt havent hasnt hadnt nicht kein keine keinen keinem keiner nie niemals ohne
pas jamais sans nunca jamás sin senza não nem sem niet geen nooit zonder не нет никогда без
"""
_NEGATIVE: Final = frozenset(_NEGATIVE_TEXT.split())
_NOT_DENYING: Final = frozenset(
    {("whether", "or", "not"), ("or", "not"), ("not", "only"), ("no", "matter"), ("no", "doubt"), ("nothing", "but")}
)
_LEADING: Final = 2
_SUBJECTS: Final = frozenset(["you", "i", "we", "they", "people"])
_PERSONS: Final = {
    "i": "i", "me": "i", "my": "i", "mine": "i", "myself": "i", "im": "i", "ive": "i",
    "he": "he", "him": "he", "his": "he", "himself": "he", "she": "she", "her": "she", "hers": "she", "herself": "she",
}  # fmt: skip
_RELATING_TEXT: Final = """
to into from than over before after by of as without under
"""
_RELATING: Final = frozenset(_RELATING_TEXT.split())
_ASKING: Final = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why", "which": "what",
    "what": "what", "how": "how",
}  # fmt: skip
_HOW: Final = {"much": "how much", "many": "how many", "long": "how long", "often": "how often", "old": "how old",
               "far": "how far", "come": "why"}  # fmt: skip
_WHAT: Final = {"time": "when", "date": "when", "year": "when", "day": "when", "place": "where", "reason": "why"}


def read(question: str) -> Reading:
    """Takes time in proportion to its length, up to a bound."""
    notes = _Notes()
    text = unmannered(question[:CHARS_MAX])
    for token in TOKEN.finditer(text):
        kind = token.lastgroup or ""
        if kind == "word":
            notes.word(token.group(), token.start())
        elif kind in {"number", "mixed"}:
            notes.number(token.group(), kind)
        else:
            notes.other(token.group(), kind)
    return notes.reading(question)


class _Notes:
    """What has been found so far."""

    __slots__ = ("code", "digits", "ids", "names", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.digits: list[tuple[int, str, str]] = []
        self.ids: list[str] = []
        self.code: list[str] = []
        self.names: list[tuple[int, str]] = []

    def word(self, text: str, start: int) -> None:
        lower = text.lower()
        if lower != text and len(text) <= WORD_CHARS_MAX:
            self.names.append((len(self.words) if start else -1, text))
        self.words.append(lower.removesuffix("'s"))

    def number(self, text: str, kind: str) -> None:
        if kind == "mixed":
            letters = text.rstrip("0123456789")
            if letters.isalpha() and len(letters) > 2:
                self.words.append(letters.lower())
                text = text[len(letters) :]
            else:
                self.words.append(text.lower())
                self.ids.append(text.lower())
                return
        sign = self.code.pop() if self.code and self.code[-1] in _CURRENCIES else ""
        self.digits.append((len(self.words), text, sign))
        self.words.append(text)

    def other(self, text: str, kind: str) -> None:
        if kind in _IDS:
            self.ids.append(text.lower() if kind in {"email", "uuid", "version"} else text.rstrip(".,;:!?)"))
        elif kind in _CODE:
            self.code.append(text.strip("`").strip() if kind in {"fence", "quoted"} else text)

    def reading(self, question: str) -> Reading:
        words = self.words
        known = [word_of(word) for word in words]
        amounts, places = self._amounts()
        sequence = [(word.stem, word.weight) for place, word in enumerate(known) if word.weight and place not in places]
        asks = _asks(words)
        sides = frozenset(side for place, word in enumerate(known) for side in _sides(words[place], word.stem))
        return Reading(
            question,
            question[CHARS_MAX:],
            tuple(words),
            tuple(stem for stem, _ in sequence),
            frozenset(stem for stem, _ in sequence),
            dict(sequence),
            tuple(sorted(amount.value for amount in amounts)),
            frozenset(amount.value for amount in amounts if amount.is_weak),
            frozenset((amount.value, amount.unit) for amount in amounts if amount.unit),
            frozenset(self.ids),
            tuple(sorted(self.code)),
            sides,
            _negations(words),
            self._names(),
            _relations([word.stem if word.weight or word.stem in _RELATING else "" for word in known]),
            asks,
            frozenset(_PERSONS[word] for word in words if word in _PERSONS),
            _foreign(words),
        )

    def _amounts(self) -> tuple[list[Amount], set[int]]:
        amounts: list[Amount] = []
        places: set[int] = set()
        words = self.words
        for place, text, sign in self.digits:
            following = words[place + 1] if place + 1 < len(words) else ""
            amounts += amounts_in(text, following, sign)
            places.update((place, place + 1) if following in UNIT_OF or following in NUMBER_WORDS else (place,))
        if not NUMBER_WORDS.isdisjoint(words):
            for place, amount in spoken(words):
                amounts.append(amount)
                places.update((place, place + 1) if amount.unit else (place,))
        for place, text in self.names:
            if text in ROMAN and place > 0:
                amounts.append(Amount(str(ROMAN[text]), is_weak=True))
        return amounts, places

    def _names(self) -> frozenset[str]:
        """Capitalised words that do not begin the text; none where most words are capitalised."""
        if 2 * len(self.names) > len(self.words) and len(self.words) > 3:
            return frozenset()
        found = [text.removesuffix("'s") for place, text in self.names if place > 0]
        return frozenset(word_of(text.lower()).stem for text in found if word_of(text.lower()).weight)


def _sides(word: str, stem: str) -> frozenset[Side]:
    return SIDES.get(word) or SIDES.get(stem) or _NO_SIDE


_NO_SIDE: Final[frozenset[Side]] = frozenset()


def _negations(words: Sequence[str]) -> int:
    """How often something is denied; not where a question only begins so, nor in tags and set phrases."""
    found = 0
    for place, word in enumerate(words):
        if not (word in _NEGATIVE or word.endswith("n't")):
            continue
        if (
            place == 0
            and word.endswith(("n't", "nt"))
            and (word[:3] != "don" or (words[1:2] and words[1] in _SUBJECTS))
        ):
            continue  # "Isn't it so that" asks what "Is it so that" asks, but "Don't do it" is no question
        if word.endswith("n't") and place >= len(words) - _LEADING and len(words) > 3:
            continue  # "..., isn't it"
        if tuple(words[place - 1 : place + 1]) in _NOT_DENYING or tuple(words[place : place + 2]) in _NOT_DENYING:
            continue
        found += 1
    return found


def _relations(stems: Sequence[str]) -> frozenset[tuple[str, str, str]]:
    """What stands on either side of a word that relates two things."""
    found = []
    for place in range(1, len(stems) - 1):
        if stems[place] in _RELATING:
            before = next((stem for stem in reversed(stems[max(0, place - 3) : place]) if stem), "")
            behind = next((stem for stem in stems[place + 1 : place + 4] if stem), "")
            if before and behind and before not in _RELATING and behind not in _RELATING:
                found.append((before, stems[place], behind))
    return frozenset(found)


def _asks(words: Sequence[str]) -> str:
    for place, word in enumerate(words[:12]):
        asked = _ASKING.get(word)
        if asked is not None:
            following = words[place + 1] if place + 1 < len(words) else ""
            return (_HOW if asked == "how" else _WHAT).get(following, asked) if asked in {"how", "what"} else asked
    return ""


def _foreign(words: Sequence[str]) -> float:
    known = sum(word_of(word).is_known for word in words)
    return float(len(words) > 3 and 3 * known < len(words))


__all__ = ["CHARS_MAX", "Contest", "Reading", "Side", "read"]
