"""What a question denies: how often, and which words the denials bear on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.questions.words import word_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_DENYING_TEXT: Final = """
not never no none nobody nothing nowhere neither nor without cannot unable non ain't dont doesnt didnt isnt arent wasnt
werent cant couldnt wouldnt wont shouldnt havent hasnt hadnt avoid avoiding stop stopping prevent preventing except
nicht kein keine keinen keinem keiner nie niemals ohne pas jamais sans nunca jamás sin senza não nem sem niet geen nooit
zonder не нет никогда без 不 没 沒 无 無 未 非 لا لم ليس नहीं
"""
DENYING: Final = frozenset(_DENYING_TEXT.split())
_SET_PHRASES: Final = frozenset({
    ("or", "not"), ("not", "only"), ("no", "matter"), ("no", "doubt"), ("nothing", "but"), ("if", "not"),
    ("not", "sure"),
    ("not", "certain"), ("or", "no"), ("non", "stop"), ("no", "one's"), ("no", "problem"),
})  # fmt: skip
_SUBJECTS: Final = frozenset({"you", "i", "we", "they", "people"})
_TAGGED: Final = frozenset({"it", "i", "you", "he", "she", "we", "they", "there"})
_LIGHT: Final = frozenset({"able", "seem", "seems", "let", "yet", "even", "really", "currently", "actually", "still"})
"""Words that carry a denial on to the next one."""
_REACH: Final = 5
_TAG_WORDS: Final = 2


class Denials(NamedTuple):
    """`times` something is denied, and the `stems` that they bear on: the next word after each that says something."""

    times: int = 0
    stems: frozenset[str] = frozenset()


NOTHING_DENIED: Final = Denials()


def denials_in(words: Sequence[str]) -> Denials:
    """Denials that change what is asked: not those of tags, of set phrases or with which a question only begins."""
    count = 0
    stems = set()
    for place, word in enumerate(words):
        if (word in DENYING or word.endswith("n't")) and not _is_idle(words, place, word):
            count += 1
            stem = _borne_by(words, place)
            if stem:
                stems.add(stem)
    return Denials(count, frozenset(stems)) if count else NOTHING_DENIED


def _is_idle(words: Sequence[str], place: int, word: str) -> bool:
    is_short = word.endswith(("n't", "nt"))
    if is_short and place == 0 and (word[:3] != "don" or (len(words) > 1 and words[1] in _SUBJECTS)):
        return True  # "Isn't it so that" asks what "Is it so that" asks, but "Don't do it" is no question
    if is_short and place >= len(words) - _TAG_WORDS and len(words) > _TAG_WORDS + 1 and words[-1] in _TAGGED:
        return True
    pairs = (tuple(words[place - 1 : place + 1]), tuple(words[place : place + 2]))
    return not _SET_PHRASES.isdisjoint(pairs) or (place > 1 and words[place - 2] == "or" and words[place - 1] == "why")


def _borne_by(words: Sequence[str], place: int) -> str:
    for word in words[place + 1 : place + 1 + _REACH]:
        known = word_of(word)
        if known.weight and word not in _LIGHT:
            return known.stem
    return ""
