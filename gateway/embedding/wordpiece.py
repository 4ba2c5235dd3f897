"""Text as the numbers of word pieces, as uncased BERT has it: plain lower-case words and signs, cut greedily.

The rules are those of Google's BERT (Devlin et al. 2018) in the variant of Hugging Face's `tokenizers`, which the tests
compare with. One thing is stricter: what is written like a special piece (`[SEP]`) is text here.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORD_CHARS_MAX: Final = 100  # a longer word is unknown, by BERT's rules
_CHARS_PER_PIECE: Final = 16  # text that is wider than this on the average is not worth reading: no language is

_IDEOGRAPHS: Final = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
    """A vocabulary, and how text is written in it."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._numbers: dict[str, int] = {piece: number for number, piece in enumerate(pieces)}
        self._characters = frozenset("".join(pieces))
        self._longest = max(map(len, pieces))
        self._first, self._last = self._numbers["[CLS]"], self._numbers["[SEP]"]
        self.unknown = self._numbers["[UNK]"]
        self._ascii = {code: _plain(chr(code)) for code in range(128)}
        self._plain = lru_cache(maxsize=1 << 13)(_plain)
        self._cut = lru_cache(maxsize=1 << 13)(self._pieces)

    @staticmethod
    def chars_max(count_max: int) -> int:
        """Text that is longer does not fit, whatever it is."""
        return count_max * _CHARS_PER_PIECE

    def encode(self, text: str, count_max: int) -> list[int] | None:
        """With BERT's marks at both ends; None for more pieces than `count_max`, or text too long to be worth reading.

        The work is bounded by `count_max`, whatever the text.
        """
        if len(text) > self.chars_max(count_max):
            return None
        numbers = [self._first]
        known = self._numbers
        for word in self._words(text):
            number = known.get(word)
            if number is not None:
                numbers.append(number)
            else:
                numbers += self._cut(word)
            if len(numbers) >= count_max:  # the mark at the end has to fit as well
                return None
        numbers.append(self._last)
        return numbers

    def _words(self, text: str) -> list[str]:
        if text.isascii():
            return text.translate(self._ascii).split()
        return "".join(map(self._plain, unicodedata.normalize("NFD", text))).split()

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The longest piece that the word begins with, then the longest that continues it, and so on."""
        if len(word) > WORD_CHARS_MAX or not self._characters.issuperset(word):
            return (self.unknown,)
        found = []
        start, prefix = 0, ""
        while start < len(word):
            end = min(len(word), start + self._longest)
            while (number := self._numbers.get(prefix + word[start:end])) is None:
                end -= 1
                if end == start:
                    return (self.unknown,)
            found.append(number)
            start, prefix = end, "##"
        return tuple(found)


def read_pieces(path: Path) -> list[str]:
    """A vocabulary file: a piece a line. Raises `OSError`, `ValueError`."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _plain(char: str) -> str:
    """What is left of a character of decomposed text: nothing, a space, itself in lower case; signs stand alone."""
    if char in "\t\n\r" or char.isspace():
        return " " if char in "\t\n\r" or unicodedata.category(char) != "Cc" else ""
    category = unicodedata.category(char)
    if category == "Mn" or char == "\ufffd" or (category[0] == "C" and category != "Cn"):
        return ""
    if category[0] == "P" or (char.isascii() and not char.isalnum()) or _is_ideograph(ord(char)):
        return f" {char.lower()} "
    return char.lower()


def _is_ideograph(code: int) -> bool:
    return any(first <= code <= last for first, last in _IDEOGRAPHS)
