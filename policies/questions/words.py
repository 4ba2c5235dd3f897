"""Questions cut into tokens, and what is known of each word: its stem, and how much it says.

The stemmer is light and errs towards keeping words apart; it serves signs that are weighed, never a key.
"""

# ruff: noqa: RUF001 - the characters that look like others are the matter here

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from policies.questions.frequent_words import COMMON

WORDS_REMEMBERED: Final = 16_384
WORD_CHARS_MAX: Final = 40

_PLAIN: Final = str.maketrans({
    "‘": "'", "’": "'", "ʼ": "'", "‛": "'", "′": "'", "´": "'", "`": "`",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "″": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "﹣": "-",
    "…": " ", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u3000": " ", "\ufeff": "", "\u200b": "", "\u00ad": "",
    "²": "^2", "³": "^3", "¹": "^1", "⁰": "^0", "⁴": "^4", "⁵": "^5", "⁶": "^6", "⁷": "^7", "⁸": "^8", "⁹": "^9",
    "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3",
    "×": "*", "÷": "/", "≠": "!=", "≤": "<=", "≥": ">=",
    "→": "->", "ﬁ": "fi", "ﬂ": "fl",
    **{chr(zero + step): str(step) for zero in (0x660, 0x6F0, 0x966, 0x9E6) for step in range(10)},
    **{chr(0xFF01 + step): chr(0x21 + step) for step in range(94)},
})  # fmt: skip

TOKEN: Final = re.compile(
    r"""
    (?P<plain>[^\W\d_]{1,60}(?:'[^\W\d_]{1,3})?(?![\w'@:/\\.(+\#-]))
  | (?P<fence>```(?:[^`]|`(?!``)){0,8000}(?:```)?)
  | (?P<quoted>`[^`\n]{1,400}`)
  | (?P<url>(?:https?|ftp)://[^\s"'<>]{1,2000} | www\.[^\s"'<>]{1,2000})
  | (?P<email>[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})
  | (?P<path>(?<![\w/\\.])(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.-]{1,200}(?:[/\\][\w.-]{0,200}){0,40})
  | (?P<flag>(?<![\w-])(?:--[A-Za-z][\w-]{0,60}|-[A-Za-z](?![\w'-])))
  | (?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)
  | (?P<call>\b[A-Za-z_][\w.]{0,80}\(\))
  | (?P<name>\b(?:[A-Za-z][A-Za-z0-9]{0,40})?_\w{1,80})
  | (?P<version>\b[vV]?\d{1,6}(?:\.\d{1,8}){2,5}(?:-[a-z0-9.]{1,20})?(?![\w.]\d) | \b[vV]\d{1,6}(?:\.\d{1,8}){0,5})
  | (?P<ticket>\b[A-Z]{2,10}-\d{1,12}\b)
  | (?P<number>(?<![\w.])[-+]?
      (?:\d{1,3}(?:,\d{3}){1,8}(?:\.\d{1,20})?|\d{1,40}(?:[.:/-]\d{1,20}){0,6}|\.\d{1,20})(?![.,]?\d)
      (?:\s?%|[A-Za-z]{1,5}(?![A-Za-z0-9_]))?)
  | (?P<mixed>[#]?[^\W_]{0,60}\d[^\W_]{0,60})
  | (?P<word>[^\W\d_]{1,60}(?:'[^\W\d_]{1,3}(?![^\W\d_]))?(?:\+\+|\#(?!\w))?)
  | (?P<sign>==+|!=+|<=|>=|=>|->|<-|&&|\|\||\*\*|[$€£¥₹₽₩]|[+*=<>^|~%@\\])
    """,
    re.VERBOSE,
)
"""Every alternative is bounded, so that no text takes more than its length times a constant. A word before a space or a
comma is `plain`, which saves it from being tried as all the others; else it is a `word`.
"""

_STOPS_TEXT: Final = """
a an the of in on at for with by from to into onto as and or but if then than so that this these those there here it
its is am are was were be been being do does did doing done have has had having can could will would shall should may
might must i you he she we they me him her us them my your his our their mine yours hers ours theirs myself yourself
himself herself itself ourselves themselves what which who whom whose when where why how s t d ll m re ve o just
please also any some such very too really about up out off over under again further once each both own same while
because until during through above below between hi hello hey thanks thank ok okay well get got getting im ive id dont
doesnt didnt isnt arent wasnt cant couldnt wont wouldnt havent hasnt u ur um er uh not no nor
"""
STOPS: Final = frozenset(_STOPS_TEXT.split())

_TOP: Final = 500
_MIDDLE: Final = 1800
_RANKS: Final = {word: rank for rank, word in enumerate(COMMON)}

_IRREGULAR_TEXT: Final = """
paid:pay payment:pay payments:pay sent:send bought:buy lost:lose stole:steal stolen:steal made:make went:go gone:go
took:take taken:take withdrew:withdraw withdrawn:withdraw withdrawal:withdraw withdrawals:withdraw cheque:check
cheques:check gave:give given:give came:come saw:see seen:see knew:know known:know thought:think found:find told:tell
said:say left:leave kept:keep held:hold felt:feel wrote:write written:write spoke:speak spoken:speak ate:eat eaten:eat
ran:run began:begin begun:begin chose:choose chosen:choose broke:break broken:break drove:drive driven:drive fell:fall
fallen:fall grew:grow grown:grow met:meet sold:sell spent:spend taught:teach understood:understand won:win wore:wear
worn:wear built:build caught:catch drew:draw drawn:draw forgot:forget forgotten:forget hid:hide hidden:hide rose:rise
risen:rise sang:sing slept:sleep stood:stand swam:swim threw:throw thrown:throw woke:wake men:man women:woman
children:child kids:kid people:person persons:person feet:foot teeth:tooth mice:mouse lives:life wives:wife
knives:knife leaves:leaf better:better best:best learnt:learn learned:learn dreamt:dream died:die dying:die dies:die
lying:lie lies:lie tying:tie using:use used:use uses:use colour:color colours:color favourite:favorite centre:center
centres:center theatre:theater grey:gray programme:program licence:license tyre:tire metre:meter metres:meter
litre:liter litres:liter organisation:organization does:do bigger:big biggest:big data:data media:media news:news
always:always us:us was:was has:has this:this his:his series:series cancellation:cancel cancelled:cancel
canceled:cancel cancelling:cancel verification:verify identification:identify e:e mail:mail email:email emails:email
e-mail:email wifi:wifi
"""
_IRREGULAR: Final = dict(pair.split(":") for pair in _IRREGULAR_TEXT.split())
_VOWELS: Final = frozenset("aeiouy")


class Word(NamedTuple):
    """`weight` is how much it says: 0 for a word of grammar, near 1 for one that is rare. `is_known`: a common word."""

    stem: str
    weight: float
    is_known: bool


def tidy(text: str) -> str:
    """One character for what is typed in several ways; raised digits and fractions keep their meaning."""
    return text if text.isascii() else text.translate(_PLAIN)


@lru_cache(WORDS_REMEMBERED)
def word_of(lower: str) -> Word:
    """What is known of a word in lower case."""
    if lower in STOPS or "'" in lower:
        return Word(lower, 0.0, is_known=True)
    rank = _RANKS.get(lower)
    if rank is None and lower.endswith("s"):
        rank = _RANKS.get(lower[:-1])
    return Word(stem(lower), _weight(rank, len(lower)), rank is not None)


def _weight(rank: int | None, length: int) -> float:
    if rank is None:
        return 1.0 if length > 2 else 0.6
    if rank < _TOP:
        return 0.5
    return 0.7 if rank < _MIDDLE else 0.85


def stem(word: str) -> str:
    """A word without its commonest endings."""
    irregular = _IRREGULAR.get(word)
    if irregular is not None:
        return irregular
    if len(word) <= 3 or not word.isascii():
        return word
    word = _singular(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest is not word and len(rest) >= 3 and not _VOWELS.isdisjoint(rest):
            word = _single(rest)
            break
    word = word.removesuffix("ly") if len(word) > 5 else word
    if word.endswith("ation") and len(word) > 7:
        word = word[:-3]
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] + "i" if word.endswith("y") and word[-2] not in _VOWELS else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and word[-2] not in "sui" else word


def _single(word: str) -> str:
    """`stopp` is `stop`; `fill` and `miss` stay."""
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz" else word
