"""The text of one answer as it comes, and what has been made of it so far.

Readers are generators that walk along a tape and yield whenever they need more of it. A decision never depends on where
the text was cut into deltas: a reader waits until what is there can mean one thing only.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_T = TypeVar("_T")
Reading = Generator[None, None, _T]
"""A reader that has this to say when it is through."""

_SPACE: Final = re.compile(r"\s*")


class Kind(IntEnum):
    """What a piece of an answer is: text for the reader, a thought, the name of a called function, its arguments."""

    TEXT = 0
    THOUGHT = 1
    CALL = 2
    ARGUMENTS = 3


Piece = tuple[Kind, str]


class Marks:
    """Texts that mean something to a dialect, looked for all at once."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self._longest = max(map(len, texts), default=0)
        self._initials = frozenset(text[0] for text in texts)
        longest_first = sorted(texts, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) if texts else r"(?!)")

    def find(self, text: str, at: int, *, ended: bool) -> tuple[int, str]:
        """Where the first mark is and which; an empty one where text is free of marks up to there and no further."""
        found = self._pattern.search(text, at)
        stop = found.start() + 1 if found else len(text)
        if not ended:
            for start in range(max(at, len(text) - self._longest + 1), stop):
                if text[start] in self._initials and self._may_begin(text[start:]):
                    return start, ""
        return (found.start(), found.group()) if found else (len(text), "")

    def _may_begin(self, tail: str) -> bool:
        return any(len(mark) > len(tail) and mark.startswith(tail) for mark in self.texts)


class Tape:
    """What has been generated and not been read yet, the functions that may be called, and the pieces found."""

    def __init__(self, tools: Mapping[str, Mapping[str, str]]) -> None:
        self.tools = tools
        self.text = ""
        self.at = 0
        self.ended = False
        self.is_anchored = False
        self.is_thinking = False
        self.pieces: list[Piece] = []
        self.calls = 0
        self._blank = ""
        self._strips = False

    def need(self, count: int = 1) -> Reading[bool]:
        """Wait for so many characters; whether they are there."""
        while len(self.text) - self.at < count:
            if self.ended:
                return False
            yield
        return True

    def has(self, literal: str) -> Reading[bool]:
        """Whether this comes next; it is passed over if so."""
        while True:
            there = self.text[self.at : self.at + len(literal)]
            if there == literal:
                self.at += len(literal)
                return True
            if self.ended or not literal.startswith(there):
                return False
            yield

    def has_any(self, literals: tuple[str, ...]) -> Reading[bool]:
        """Whether one of these comes next, none of which begins another; it is passed over if so."""
        for literal in literals:
            if (yield from self.has(literal)):
                return True
        return False

    def space(self) -> Reading[str]:
        """The white space that comes next."""
        space = ""
        while True:
            if found := _SPACE.match(self.text, self.at):
                space += found.group()
                self.at = found.end()
            if self.at < len(self.text) or self.ended:
                return space
            yield

    def upto(self, ends: Marks, limit: int = 200) -> Reading[tuple[str, str] | None]:
        """What stands before the first of the ends and which; None where none comes soon. The end is passed over."""
        while True:
            at, mark = ends.find(self.text, self.at, ended=self.ended)
            if at - self.at > limit or (self.ended and not mark):
                return None
            if mark:
                found = self.text[self.at : at]
                self.at = at + len(mark)
                return found, mark
            yield

    def pass_until(self, marks: Marks, put: Callable[[str], None]) -> Reading[str]:
        """Hand on what stands before the first of the marks; which it is, or nothing at the end of the text."""
        while True:
            at, mark = marks.find(self.text, self.at, ended=self.ended)
            if at > self.at:
                put(self.text[self.at : at])
            self.at = at + len(mark)
            if mark or self.ended:
                return mark
            yield

    def say(self, text: str) -> None:
        """Text of the answer. White space is held back: before a call and at the ends of a thought it means nothing."""
        self._tell(Kind.TEXT, text)

    def think(self, text: str) -> None:
        self._tell(Kind.THOUGHT, text)

    def turn(self, *, is_thinking: bool) -> None:
        """From text to thoughts, or back."""
        self.is_thinking = is_thinking
        self._blank = ""
        self._strips = True

    def anchor(self) -> int:
        """This place, to which `at` may be set back until the next call: what turns out to be text is read again."""
        self.is_anchored = True
        return self.at

    def add(self, text: str) -> None:
        """More of the text; what has been read, and cannot be asked for again, is forgotten."""
        if not self.is_anchored and self.at:
            self.text, self.at = self.text[self.at :], 0
        self.text += text

    def call(self, name: str) -> None:
        """A call, which cannot be taken back."""
        self.is_anchored = False
        self._blank = ""
        self.calls += 1
        self.pieces.append((Kind.CALL, name))

    def argue(self, text: str) -> None:
        self.pieces.append((Kind.ARGUMENTS, text))

    def end(self) -> None:
        """White space at the very end belongs to the text, unless there is something better to end with."""
        if self._blank and not self.calls and not self.is_thinking:
            self.pieces.append((Kind.TEXT, self._blank))
        self._blank = ""

    def _tell(self, kind: Kind, text: str) -> None:
        text = self._blank + text
        if self._strips:
            text = text.lstrip()
        said = text.rstrip()
        self._blank = text[len(said) :]
        if said:
            self._strips = False
            self.pieces.append((kind, said))
