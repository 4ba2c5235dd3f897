"""Numbers in words: "two hundred and five", "a dozen", "the third"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.questions.units import Amount, unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
LARGE: Final = {
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
NUMBER_WORDS: Final = frozenset({*_SMALL, *_TENS, *LARGE, *_OTHER_TONGUES, *ORDINALS})
_BEFORE_ORDINALS: Final = frozenset({"the", "my", "a", "your", "his", "her", "their"})
_SPOKEN_MAX: Final = 10**15


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
        if word in LARGE:
            group = (group or 1) * LARGE[word]
            if LARGE[word] >= 1000:
                total, group = total + group, 0
        elif small is not None and _goes_on(group, small):
            group += small
        elif not _joins(words, at, start):
            break
        at += 1
    if before.isdecimal() and words[start] in LARGE:
        return at, None  # the digits before it have taken it in
    value = total + group
    return at, Amount(str(value), unit_of(words[at]) if at < len(words) else None, is_weak=value == 1)


def _goes_on(group: int, small: int) -> bool:
    """Whether one number is still being told: "twenty three" is one, "two three" are two."""
    return group % 100 == 0 or (group % 10 == 0 and small < 10)


def _joins(words: Sequence[str], at: int, start: int) -> bool:
    """The "and" of "two hundred and five"."""
    following = words[at + 1] if at + 1 < len(words) else ""
    return words[at] == "and" and at > start and words[at - 1] in LARGE and following in _SMALL
