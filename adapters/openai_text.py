"""What a model generated, found in OpenAI-like messages and deltas, and kept for counting when no usage comes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from adapters.base import Passage

if TYPE_CHECKING:
    from adapters.base import Tally

TEXT_KEPT_BYTES: Final = 256 * 1024
_PIECES_KEPT: Final = 256
# Escapes are walked one by one, or `\\\\ud800` (an escaped backslash) would be taken for a surrogate.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class Delta(Struct, gc=False):
    """A `delta` or a whole `message`. Its fields are untyped: providers differ, and a surprise here is no failure."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class Choice(Struct, gc=False):
    """A choice of chat or completions, whole or streamed."""

    index: Any = 0
    delta: Delta | None = None
    message: Delta | None = None
    text: Any = None
    finish_reason: Any = None


class TextKeeper:
    """Adds to `tally.text` up to `TEXT_KEPT_BYTES` characters, and counts what is beyond.

    Pieces are joined now and then: a long stream would otherwise hold thousands of tiny strings. `pieces` counts what
    was added, `has_more_than_text` is true once a delta held anything but a piece of text.
    """

    __slots__ = ("_kept_chars", "_tally", "has_more_than_text", "pieces")

    def __init__(self, tally: Tally) -> None:
        self.pieces = 0
        self.has_more_than_text = False
        self._tally = tally
        self._kept_chars = 0

    def add(self, text: str) -> None:
        self.pieces += 1
        self._kept_chars += len(text)
        if self._kept_chars > TEXT_KEPT_BYTES:
            text = self._cut(text)
        pieces = self._tally.text
        pieces.append(text)
        if len(pieces) > _PIECES_KEPT:
            pieces[:] = ["".join(pieces)]

    def add_passage(self, kind: str, text: str) -> None:
        """The same for what is no plain answer. Such pieces mostly go on where one like them ended."""
        begin = self._kept_chars
        self.add(text)
        passages = self._tally.passages
        if passages is None:
            passages = self._tally.passages = []
        elif (last := passages[-1]).end == begin and last.kind == kind:
            last.end = self._kept_chars
            return
        passages.append(Passage(kind, begin, self._kept_chars))

    def _cut(self, text: str) -> str:
        dropped = self._kept_chars - TEXT_KEPT_BYTES
        self._kept_chars = TEXT_KEPT_BYTES
        self._tally.text_dropped_chars += dropped
        return text[: len(text) - dropped]


def add_delta(keeper: TextKeeper, delta: Delta) -> bool:
    """Keep what `delta` generated; whether it holds any content at all (a role or an empty text is none)."""
    content = delta.content
    if type(content) is str:
        if content:
            keeper.add(content)
    elif type(content) is list:
        keeper.has_more_than_text = True
        for part in content:
            _add_part(keeper, part)
    thought = delta.reasoning_content or delta.reasoning
    if not (thought or delta.refusal or delta.tool_calls or delta.function_call or delta.audio):
        return bool(content)
    keeper.has_more_than_text = True
    if type(thought) is str and thought:
        keeper.add_passage("reasoning", thought)
    if type(delta.refusal) is str and delta.refusal:
        keeper.add(delta.refusal)
    calls = delta.tool_calls if type(delta.tool_calls) is list else []
    for call in (*calls, delta.function_call):
        _add_call(keeper, call)
    return True


def _add_part(keeper: TextKeeper, part: object) -> None:
    """One part of a content list: text, or Mistral's thinking, which is a list of parts again."""
    if not isinstance(part, dict):
        return
    inner = part.get("thinking", part.get("text"))
    for piece in inner if isinstance(inner, list) else (inner,):
        text = piece.get("text") if isinstance(piece, dict) else piece
        if isinstance(text, str):
            keeper.add(text)


def _add_call(keeper: TextKeeper, call: object) -> None:
    if not isinstance(call, dict):
        return
    called = call.get("function") or call.get("custom") or call
    if isinstance(called, dict):
        for name, kind in (("name", "name"), ("arguments", "arguments"), ("input", "arguments")):
            text = called.get(name)
            if isinstance(text, str):
                keeper.add_passage(kind, text)


def mended(body: bytes) -> bytes:
    """`body` with U+FFFD for invalid UTF-8 and for half a surrogate pair, the same object where there is neither."""
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode("utf-8", "replace").encode()
    if b"\\ud" in body or b"\\uD" in body:
        body = _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], body)
    return body
