"""What is to be known of a model family's way to call tools and to think aloud."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.dialects.tape import Reading, Tape

CallReader = Callable[["Tape", str], "Reading[bool]"]
"""Reads calls after one of the dialect's marks, and says whether there were any."""


@dataclass(frozen=True)
class Thoughts:
    """How thoughts are marked. `anywhere`: not at the beginning of an answer alone, since no text holds such marks."""

    name: str
    begin: str
    end: str
    anywhere: bool = False


@dataclass(frozen=True)
class Dialect:
    """How a model family writes.

    `call_marks` begin a call, `control_marks` are all texts of control tokens that must be shown to be understood,
    `silent_marks` surround text and mean nothing. `bare_calls`: an answer that begins with `{` or `[` may be a call
    without any mark. `forced_opening` is what stands right before the name of a called function. `reads_messages` is
    for families whose whole answers are made of addressed messages; `text_opening` then begins one for the user.
    """

    name: str
    read_calls: CallReader
    call_marks: tuple[str, ...] = ()
    forced_opening: str = ""
    control_marks: tuple[str, ...] = ()
    silent_marks: tuple[str, ...] = ()
    bare_calls: bool = False
    calls_end_thoughts: bool = False
    reads_messages: Callable[[Tape], Reading[None]] | None = None
    text_opening: str = ""
    short_ids: bool = False
    thoughts: Thoughts | None = None

    @property
    def reasoning(self) -> str:
        """The name of the way thoughts are marked, empty where they are not."""
        return self.thoughts.name if self.thoughts else ""

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that control tokens may have and that must be shown."""
        thoughts = (self.thoughts.begin, self.thoughts.end) if self.thoughts else ()
        return tuple(dict.fromkeys((*self.control_marks, *self.call_marks, *self.silent_marks, *thoughts)))

    def opening_of(self, prompt: str) -> str:
        """The mark of thoughts, where a rendered prompt ends right after it."""
        if self.thoughts is None or not prompt.rstrip().endswith(self.thoughts.begin.rstrip()):
            return ""
        return self.thoughts.begin

    def answer_opening(self, prompt: str) -> tuple[str, str]:
        """What to append to a prompt so that the answer proper comes next, and the marks it then stands inside of."""
        if self.reads_messages is not None:
            return self.text_opening, self.text_opening
        if self.opening_of(prompt) and self.thoughts is not None:
            return f"\n{self.thoughts.end}\n\n", ""
        return "", ""
