"""Answers made of messages that each say whom they are for: harmony's channels, and Functionary's recipients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from adapters.dialects.named_calls import read_named
from adapters.dialects.tape import Marks

if TYPE_CHECKING:
    from adapters.dialects.tape import Reading, Tape

MAX_HEAD_CHARS: Final = 300
HARMONY_MARKS: Final = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>")

_HEAD_BEGINS: Final = Marks("<|start|>", "<|channel|>", "<|message|>")
_HEAD_ENDS: Final = Marks("<|message|>")
_BODY_ENDS: Final = Marks("<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>")
_RECIPIENT: Final = re.compile(r"to=(?:functions\.)?([^\s<]+)")
_CHANNEL: Final = re.compile(r"<\|channel\|>\s*(\w+)")
_LINE: Final = Marks("\n")
_RECIPIENT_MARK: Final = ">>>"
_NEXT: Final = Marks(_RECIPIENT_MARK)


def read_harmony(tape: Tape) -> Reading[None]:
    """Messages with a head (`<|channel|>commentary to=functions.f <|constrain|>json<|message|>`) and a body."""
    mark = ""
    while True:
        head = yield from _head(tape, mark)
        if head is None:
            return
        recipient, channel = _RECIPIENT.search(head), _CHANNEL.search(head)
        called = recipient.group(1) if recipient else ""
        if called in tape.tools:
            yield from read_named(tape, called)
            yield from tape.space()
        elif not called and channel and channel.group(1) == "analysis":
            tape.turn(is_thinking=True)
            mark = yield from tape.pass_until(_BODY_ENDS, tape.think)
            if not mark:
                return
            tape.turn(is_thinking=False)
            continue
        mark = yield from tape.pass_until(_BODY_ENDS, tape.say)
        if not mark:
            return


def _head(tape: Tape, mark: str) -> Reading[str | None]:
    """The head of the next message; None at the end. What comes before any head, or has none, is text."""
    if mark not in ("<|start|>", "<|channel|>"):
        to = yield from tape.has(" to=")
        if to:
            mark = " to="
        else:
            mark = yield from tape.pass_until(_HEAD_BEGINS, tape.say)
    if not mark:
        return None
    if mark == "<|message|>":
        return ""
    start = tape.anchor()
    found = yield from tape.upto(_HEAD_ENDS, MAX_HEAD_CHARS)
    tape.is_anchored = False
    if found is None:
        tape.at = start
        tape.say(mark)
        return ""
    return mark + found[0]


def read_functionary(tape: Tape) -> Reading[None]:
    """Messages of `recipient`, a line feed and a body, divided by `>>>`; what is for `all` is text."""
    yield from tape.has(_RECIPIENT_MARK)
    while True:
        start = tape.anchor()
        found = yield from tape.upto(_LINE)
        tape.is_anchored = False
        name = found[0].strip() if found is not None else ""
        if name in tape.tools:
            yield from read_named(tape, name)
            yield from tape.space()
        elif name != "all":
            tape.at = start
        if not (yield from tape.pass_until(_NEXT, tape.say)):
            return
