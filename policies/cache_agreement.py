"""Whether two answers to what may be one question say the same, as far as their words and vectors can tell.

Only clear cases are told: an answer that was made anew is never word for word the old one, and a label that is guessed
would teach the wrong thing. What is not clear is for a judge, or is not counted.
"""

from __future__ import annotations

import re
from typing import Final

SAME_AT: Final = 0.92
"""From this cosine on, two answers without differing numbers say the same. By MiniLM, of a handful of pairs that were
written for it the same answer in other words lay at 0.84 to 0.95, and another answer at up to 0.86."""
OTHER_BELOW: Final = 0.45
"""Below this, they speak of different things; other answers lay at 0.43 and above."""
_COMPARED_CHARS: Final = 20_000
_WORD: Final = re.compile(r"\w+")
_LIST_MARK: Final = re.compile(r"(?m)^\s*(?:[#>*-]+\s*)*\d{1,2}[.)]\s+")
_NUMBER: Final = re.compile(r"\d+(?:[.,:/-]\d+)*")
_POLAR: Final = {
    **dict.fromkeys(("yes", "yeah", "yep", "ja", "oui", "sí", "sì", "sim", "да"), True),
    **dict.fromkeys(("no", "nope", "nein", "nee", "non", "não", "нет"), False),
}


def agree(one: str, other: str, cosine: float | None = None) -> bool | None:
    """True: they say the same. False: they do not. None: that cannot be told from here.

    `cosine` is that of their vectors, None where there are none.
    """
    one, other = one[:_COMPARED_CHARS], other[:_COMPARED_CHARS]
    if _plain(one) == _plain(other):
        return True
    if _are_opposed(one, other) or _have_other_numbers(one, other):
        return False
    if cosine is None:
        return None
    if cosine < OTHER_BELOW:
        return False
    return True if cosine >= SAME_AT and _numbers(one) == _numbers(other) else None


def _plain(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _are_opposed(one: str, other: str) -> bool:
    """One begins with yes, the other with no."""
    first, second = _polarity(one), _polarity(other)
    return first is not None and second is not None and first is not second


def _polarity(text: str) -> bool | None:
    word = _WORD.search(text[:40].casefold())
    return None if word is None else _POLAR.get(word.group())


def _have_other_numbers(one: str, other: str) -> bool:
    """Both name numbers, and none is the same: one answer may well say more than the other, but not something else."""
    first, second = _numbers(one), _numbers(other)
    return bool(first) and bool(second) and first.isdisjoint(second)


def _numbers(text: str) -> frozenset[str]:
    """As they are written, without the marks of lists."""
    return frozenset(_NUMBER.findall(_LIST_MARK.sub("", text)))
