"""Text cut into pieces as a stream would bring it, never inside of what a reader sees as one character."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_JOINER: Final = "\u200d"
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_TAGS: Final = range(0xE0020, 0xE0080)
_FLAG_LETTERS: Final = range(0x1F1E6, 0x1F200)
_HANGUL_TAILS: Final = range(0x1160, 0x1200)


def pieces(text: str, piece_chars: int) -> Iterator[str]:
    """All of `text` in pieces of about `piece_chars`."""
    at = 0
    while at < len(text):
        end = at + max(1, piece_chars)
        while end < len(text) and not may_cut(text, end, at):
            end += 1
        yield text[at:end]
        at = end


def groups(tokens: Sequence[str], piece_chars: int) -> Iterator[tuple[int, int]]:
    """Runs of tokens (first, behind the last) which together are such pieces of the text that they add up to."""
    text, first, at, end = "".join(tokens), 0, 0, 0
    for number, token in enumerate(tokens):
        end += len(token)
        if number + 1 < len(tokens) and (end - at < piece_chars or not may_cut(text, end, at)):
            continue
        yield first, number + 1
        first, at = number + 1, end


def may_cut(text: str, at: int, start: int = 0) -> bool:
    """Whether `text` may be cut before the character `at` (UAX 29, in short); `start` is where it was cut last."""
    if at >= len(text):
        return True
    before, after = text[at - 1 : at], text[at]
    if after.isascii():
        return not (after == "\n" and before == "\r")
    code = ord(after)
    if _JOINER in (before, after) or code in _SKIN_TONES or code in _TAGS or code in _HANGUL_TAILS:
        return False
    if code in _FLAG_LETTERS:
        return _letters_before(text, at, start) % 2 == 0
    return not unicodedata.category(after).startswith("M")


def _letters_before(text: str, at: int, start: int) -> int:
    count = 0
    while at - count > start and ord(text[at - count - 1]) in _FLAG_LETTERS:
        count += 1
    return count
