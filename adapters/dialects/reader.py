"""Reads one answer as it is written: text, thoughts and calls of functions, in pieces that any cut leaves the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adapters.dialects.tape import Kind, Marks, Tape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.dialects.dialect import Dialect, Thoughts
    from adapters.dialects.tape import Piece, Reading

MAX_FALSE_STARTS: Final = 64
"""An answer that looked like a call so often and was none is read as text from there on."""


class Reader:
    """Reads answers of one dialect. Without `tools` nothing is a call."""

    def __init__(
        self, dialect: Dialect, tools: Mapping[str, Mapping[str, str]], *, opening: str = "", forced: bool = False
    ) -> None:
        """`opening` are marks that the prompt ended with. `forced`: the answer is one call, as its grammar has it."""
        self._tape = Tape(tools)
        self._is_plain = not (forced or tools or dialect.thoughts or dialect.reads_messages or dialect.silent_marks)
        self._reading = _read_forced(self._tape) if forced else _read(self._tape, dialect)
        self._is_done = False
        if opening and not forced:
            self.feed(opening)

    @property
    def is_thinking(self) -> bool:
        return self._tape.is_thinking

    @property
    def calls(self) -> int:
        """How many functions have been called so far."""
        return self._tape.calls

    def feed(self, text: str) -> list[Piece]:
        """What more text comes to."""
        if self._is_plain:
            return [(Kind.TEXT, text)] if text else []
        self._tape.add(text)
        self._go_on()
        return self._taken()

    def finish(self) -> list[Piece]:
        """What was held back, at the end of the text."""
        tape = self._tape
        tape.ended = True
        self._go_on()
        if rest := tape.text[tape.at :]:
            tape.at += len(rest)
            tape.say(rest)
        tape.end()
        return self._taken()

    def _go_on(self) -> None:
        if not self._is_done:
            self._is_done = next(self._reading, True) is not None

    def _taken(self) -> list[Piece]:
        """The pieces found, neighbours of one kind joined."""
        pieces, self._tape.pieces = self._tape.pieces, []
        if len(pieces) < 2:
            return pieces
        joined: list[Piece] = []
        for kind, text in pieces:
            if joined and joined[-1][0] is kind and kind is not Kind.CALL:
                joined[-1] = (kind, joined[-1][1] + text)
            else:
                joined.append((kind, text))
        return joined


def _read(tape: Tape, dialect: Dialect) -> Reading[None]:
    if dialect.reads_messages is not None:
        yield from dialect.reads_messages(tape)
        return
    thoughts = dialect.thoughts
    while (leading := (yield from tape.space())) or thoughts:
        tape.say(leading)
        if thoughts is None or not (yield from tape.has(thoughts.begin)):
            break
        yield from _think(tape, dialect, thoughts)
    if dialect.bare_calls and tape.tools and (yield from _try_call(tape, dialect, "")):
        yield from tape.space()
    yield from _read_text(tape, dialect)


def _read_text(tape: Tape, dialect: Dialect) -> Reading[None]:
    thoughts = dialect.thoughts if dialect.thoughts and dialect.thoughts.anywhere else None
    calls = dialect.call_marks if tape.tools else ()
    marks = Marks(*calls, *dialect.silent_marks, *((thoughts.begin,) if thoughts else ()))
    false_starts = 0
    while mark := (yield from tape.pass_until(marks, tape.say)):
        if thoughts and mark == thoughts.begin:
            yield from _think(tape, dialect, thoughts)
        elif mark not in calls:
            continue
        elif false_starts > MAX_FALSE_STARTS:
            tape.say(mark)
        elif not (yield from _try_call(tape, dialect, mark)):
            false_starts += 1
            tape.say(mark)


def _try_call(tape: Tape, dialect: Dialect, mark: str) -> Reading[bool]:
    """Read calls; where there are none, the text is as if it had not been looked at."""
    if not mark and not ((yield from tape.need()) and tape.text[tape.at] in "{[`"):
        return False
    start = tape.anchor()
    made = yield from dialect.read_calls(tape, mark)
    tape.is_anchored = False
    if not made:
        tape.at = start
    return made


def _think(tape: Tape, dialect: Dialect, thoughts: Thoughts) -> Reading[None]:
    calls = dialect.call_marks if tape.tools and dialect.calls_end_thoughts else ()
    tape.turn(is_thinking=True)
    ends = Marks(thoughts.end, *calls)
    false_starts = 0
    while mark := (yield from tape.pass_until(ends, tape.think)):
        if mark == thoughts.end:
            break
        if false_starts <= MAX_FALSE_STARTS and (yield from _try_call(tape, dialect, mark)):
            break
        false_starts += 1
        tape.think(mark)
    else:
        return
    tape.turn(is_thinking=False)


def _read_forced(tape: Tape) -> Reading[None]:
    """A name, a line feed, and arguments until the end."""
    start = tape.anchor()
    while (at := tape.text.find("\n", start)) < 0:
        if tape.ended:
            tape.at = len(tape.text)
            return
        yield
    tape.call(tape.text[start:at])
    tape.at = at + 1
    yield from tape.pass_until(Marks(), tape.argue)
