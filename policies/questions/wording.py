"""The plain form of a question: what is left when manners, spacing, quotation marks and safe capitals are taken away.

Two questions of one plain form are served with one answer without further thought (level 1), so nothing is changed here
that could change a meaning: capitals stay wherever they may tell a name from a word, code stays as it is, and words of
manners go only from the edges, and only where they can be nothing else.
"""

from __future__ import annotations

import re
from typing import Final

from policies.questions.capitals import LOWERED_ANYWHERE, LOWERED_AT_START
from policies.questions.words import tidy

CHARS_MAX: Final = 8_000
"""What is longer is its own plain form."""

_CODE: Final = re.compile(r"[`{}\\<>;=\t]|\(\)|\n[ \t]|://")
_SPACES: Final = re.compile(r"\s+")
_ASKS: Final = r"(?:what|who|whom|whose|when|where|why|how|which|if|whether)\b"
_BEGINS: Final = (
    rf"(?:{_ASKS}|(?:can|could|would|will|should|do|does|did|is|are|was|were|i|i'm|i've|my|please|there's)\b)"
)
_GREETING: Final = (
    r"(?:hi|hello|hey|good\ (?:morning|afternoon|evening|day)|greetings)(?:\ there|\ all|\ everyone|\ team)?"
)
_HESITATION: Final = r"(?:um+|uh+|erm?|hmm+)"
_MANNERS: Final = r"(?:please|pls|plz|kindly)"
_LEADING: Final = re.compile(
    rf"""(?:
      {_GREETING}\ ?(?:[,.!]+\ ?|-\ |(?=\ {_BEGINS})\ )
    | {_HESITATION}\b[,.]*\ (?=\S)
    | {_MANNERS}\b(?:,\ |\ )(?!please\b)
    | (?:(?:can|could|would|will)\ you\ (?:{_MANNERS}\ )?(?:tell\ me|let\ me\ know)
        |{_MANNERS}\ tell\ me|tell\ me
        |i(?:'d|\ would)\ like\ to\ know|i\ (?:want|wanted|need)\ to\ know|i(?:'m|\ am)\ wondering|i\ was\ wondering
        |do\ you\ know|may\ i\ ask|can\ i\ ask(?:\ you)?
      )(?:,|:)?\ (?={_ASKS})
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_TRAILING: Final = re.compile(
    r"""[,.?!;]\ ?(?:-\ )?
    (?:please|pls|plz|thanks(?:\ (?:a\ lot|so\ much|very\ much|in\ advance))?
      |thank\ you(?:\ (?:so|very)\ much|\ in\ advance)?
      |many\ thanks|thx|ty|cheers)[.!?\ ]*$""",
    re.VERBOSE | re.IGNORECASE,
)
_ASKED_PLEASE: Final = re.compile(
    r"^((?:can|could|would|will) (?:you|i|we)\b.+) (?:please|pls|plz)[.!? ]*$", re.IGNORECASE
)
_END: Final = re.compile(r"(?<=[^\W\d_]{2})[.?!,;:\ ]+$|(?<=[\d)\"'%+#])[.?,;\ ]+$|(?<=[^\W\d_])[?,;\ ]+$")
_WORD: Final = re.compile(r"(?<![\w'@#./-])[A-Z][a-z]*(?:'[a-z]{1,2})?(?![\w@/]|\.\w|-\w)")
_STARTS: Final = re.compile(r"(?:^|[.?!] )[\"'(]*$")


def plain_form(question: str) -> str:
    """Never empty unless the question is; the plain form of a plain form is itself."""
    if len(question) > CHARS_MAX:
        return question
    stripped = question.strip()
    if _CODE.search(stripped):
        return stripped
    text = unmannered(stripped)
    while True:
        plainer = core(_END.sub("", text).strip() or text)
        if plainer == text:
            return _WORD.sub(_lowered, text) or question
        text = plainer


def unmannered(question: str) -> str:
    """As `plain_form`, with capitals and the end as they are."""
    if _CODE.search(question.strip()):
        return tidy(question)
    return core(_SPACES.sub(" ", tidy(question)).strip())


def core(text: str) -> str:
    """A text with single spaces, without the manners at its edges."""
    while True:
        found = _LEADING.match(text)
        shorter = text[found.end() :] if found else text
        shorter = _ended(shorter) if shorter[-1:] in _LAST else shorter
        asked = _ASKED_PLEASE.match(shorter)
        shorter = asked[1] if asked else shorter
        if shorter == text or not _says_something(shorter):
            return text
        text = shorter


def _ended(text: str) -> str:
    """Without the manners at its end. Nothing before is looked at: this is asked for each greeting at its head."""
    found = _TRAILING.search(text, max(0, len(text.rstrip(".!? ")) - _TRAILING_CHARS_MAX))
    return text[: found.start()] if found else text


_TRAILING_CHARS_MAX: Final = 32
_LAST: Final = frozenset("eEsSzZuUxXyYhHtTeEdDcC.!? ")


def _says_something(text: str) -> bool:
    return " " in text.strip()


def _lowered(found: re.Match[str]) -> str:
    word = found[0]
    lower = word.lower()
    if word == "I" or lower in LOWERED_ANYWHERE or (lower.partition("'")[0] in LOWERED_ANYWHERE and "'" in lower):
        return lower
    if lower in LOWERED_AT_START and _STARTS.search(found.string, max(0, found.start() - 4), found.start()):
        return lower
    return word
