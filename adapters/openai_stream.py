"""Streams of chat and completions: each event is read once, and goes on as the upstream's own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.base import NAME_CHARS_KEPT, FailedStream
from adapters.openai_events import DONE, DamagedEvent, EventDecoder, broken, damaged, truncated
from adapters.openai_text import Choice, add_delta
from adapters.openai_usage import gone_on_with, read_usage
from adapters.openai_usage_details import service_of

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest


class Chunk(msgspec.Struct, gc=False):
    """What is read of a chunk; the rest is only forwarded."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    id: Any = None
    model: Any = None
    object: Any = None
    x_groq: Any = None
    service_tier: Any = None


DAMAGED_KEPT: Final = 3  # more is no accident on the way
_BRACE: Final = ord("{")
_CHUNK = msgspec.json.Decoder(Chunk)


class ChatDecoder(EventDecoder):
    """Decodes `chat.completion.chunk` and `text_completion` streams.

    An event that cannot be read is left out. Text goes on, but the end is told only where nothing is missing: every
    choice says why it stopped, and the upstream counts as many tokens as there were events with text, so that each held
    one and none is left for what could not be read.
    """

    def __init__(self, request: InferenceRequest) -> None:
        super().__init__(request)
        self._finished: set[object] = set()
        self._is_counted = False  # by a usage that came after the last damage
        self._withheld: list[bytes] = []
        self._pieces_counted = 0  # by the usage that came last
        self._service: object = None

    def _take(self, name: str, data: bytes, event: bytes) -> bytes:
        if data[0] != _BRACE and data.lstrip().startswith(b"[DONE]"):
            return self._end(event)
        try:
            chunk = _read_chunk(data)
        except DamagedEvent:
            if name == "error":
                raise self._fail_in_band(data.decode("utf-8", "replace")) from None
            raise
        if chunk.error or chunk.object == "error" or name == "error":
            raise self._fail_in_band(msgspec.json.decode(data))
        if chunk.choices:
            for choice in chunk.choices:
                self._take_choice(choice)
        if self.tally.id is None or self.tally.model is None:
            self._take_names(chunk)
        if chunk.service_tier and chunk.service_tier != self._service:
            self._service = chunk.service_tier
            self.tally.service = service_of(chunk.service_tier)
        usage = chunk.usage or (chunk.x_groq and _of_groq(chunk.x_groq))
        if usage and not self._take_usage(usage, chunk):
            return b""
        return self._withhold(chunk, event) if self.tally.damaged_events else event

    def _take_usage(self, usage: object, chunk: Chunk) -> bool:
        """Whether its event goes on: the chunk that we asked for ourselves is not for a caller who did not."""
        read = read_usage(usage, self._service)
        if read is not None and (read.input_tokens or read.output_tokens or self.tally.usage is None):
            self.tally.usage = read if self.tally.usage is None else gone_on_with(self.tally.usage, read)
            self._is_counted = True
            self._pieces_counted = self._text.pieces
        return bool(chunk.choices) or self._request.include_usage

    def _take_choice(self, choice: Choice) -> None:
        delta = choice.delta or choice.message
        if delta is not None and add_delta(self._text, delta):
            self.started = True
        if type(choice.text) is str and choice.text:
            self._text.add(choice.text)
            self.started = True
        reason = choice.finish_reason
        if type(reason) is str and reason:
            if reason == "error":
                raise self._fail_in_band(None)
            self.tally.add_reason(reason)
            if len(self._finished) < self._request.choices:
                self._finished.add(choice.index if isinstance(choice.index, int) else 0)

    def _take_names(self, chunk: Chunk) -> None:
        tally = self.tally
        if tally.id is None and type(chunk.id) is str and chunk.id:
            tally.id = chunk.id[:NAME_CHARS_KEPT]
        if tally.model is None and type(chunk.model) is str and chunk.model:
            tally.model = chunk.model[:NAME_CHARS_KEPT]

    def _skip(self, damaged: DamagedEvent) -> bytes:
        """Nothing of it reaches the caller. What comes when every choice has stopped was no part of the answer."""
        if not self.started or self.tally.damaged_events == DAMAGED_KEPT:
            raise damaged
        if len(self._finished) < self._request.choices:
            self.tally.damaged_events += 1
            self._is_counted = False
        return b""

    def _withhold(self, chunk: Chunk, event: bytes) -> bytes:
        """Of a stream that may have lost something, no event that tells an end goes out before it is proven whole."""
        if chunk.choices and not any(choice.finish_reason for choice in chunk.choices):
            return event
        self._withheld.append(event)
        return b""

    def _end(self, event: bytes) -> bytes:
        """`[DONE]` closes a stream that answered. TGI and Snowflake send no finish reason, so content is enough."""
        if not self.tally.finish_reasons and not self.started:
            raise FailedStream(truncated())
        return self._ended_by(event)

    def _close(self) -> bytes:
        """Some servers end the body without `[DONE]`; it is whole if every choice said why it stopped."""
        if len(self._finished) < self._request.choices:
            raise FailedStream(truncated())
        return self._ended_by(DONE)

    def _ended_by(self, event: bytes) -> bytes:
        if self.tally.damaged_events and not self._is_whole():
            raise broken("The upstream sent a stream event that is not JSON, and a part of the answer with it.")
        self.ended = True
        self.tally.is_usage_early = self._text.pieces > self._pieces_counted
        return b"".join((*self._withheld, event)) if self._withheld else event

    def _is_whole(self) -> bool:
        usage = self.tally.usage
        if usage is None or not self._is_counted or len(self._finished) < self._request.choices:
            return False
        shown_tokens = usage.output_tokens - usage.reasoning_tokens
        return self._text.pieces == shown_tokens and not self._text.has_more_than_text


def _of_groq(value: object) -> object:
    return value.get("usage") if isinstance(value, dict) else None


def _read_chunk(data: bytes) -> Chunk:
    try:
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        raise broken("The upstream sent a stream event of an unknown shape.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise damaged("The upstream sent a stream event that is not JSON.") from None
