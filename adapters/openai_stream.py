"""Streams of chat and completions: each event is read once, and goes on as the upstream's own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.base import FailedStream
from adapters.openai_events import DONE, EventDecoder, broken, truncated
from adapters.openai_text import Choice, add_delta
from adapters.openai_usage import read_usage

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


_BRACE: Final = ord("{")
_CHUNK = msgspec.json.Decoder(Chunk)


class ChatDecoder(EventDecoder):
    """Decodes `chat.completion.chunk` and `text_completion` streams."""

    def __init__(self, request: InferenceRequest) -> None:
        super().__init__(request)
        self._finished: set[object] = set()

    def _take(self, name: str, data: bytes, event: bytes) -> bytes:
        if data[0] != _BRACE and data.lstrip().startswith(b"[DONE]"):
            return self._end(event)
        chunk = _read_chunk(data)
        if chunk.error or chunk.object == "error" or name == "error":
            raise self._fail_in_band(msgspec.json.decode(data))
        if chunk.choices:
            for choice in chunk.choices:
                self._take_choice(choice)
        if self.tally.id is None or self.tally.model is None:
            self._take_names(chunk)
        usage = chunk.usage
        if chunk.x_groq is not None and not usage:
            usage = chunk.x_groq.get("usage") if isinstance(chunk.x_groq, dict) else None
        if not usage:
            return event
        self.tally.usage = read_usage(usage) or self.tally.usage
        # The chunk that we asked for ourselves is not for a caller who did not.
        return event if chunk.choices or self._request.include_usage else b""

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
            self.tally.finish_reasons.append(reason)
            self._finished.add(choice.index if isinstance(choice.index, int) else 0)

    def _take_names(self, chunk: Chunk) -> None:
        tally = self.tally
        if tally.id is None and type(chunk.id) is str and chunk.id:
            tally.id = chunk.id
        if tally.model is None and type(chunk.model) is str and chunk.model:
            tally.model = chunk.model

    def _end(self, event: bytes) -> bytes:
        """`[DONE]` closes a stream that answered. TGI and Snowflake send no finish reason, so content is enough."""
        if not self.tally.finish_reasons and not self.started:
            raise FailedStream(truncated())
        self.ended = True
        return event

    def _close(self) -> bytes:
        """Some servers end the body without `[DONE]`; it is whole if every choice said why it stopped."""
        if len(self._finished) < self._request.choices:
            raise FailedStream(truncated())
        self.ended = True
        return DONE


def _read_chunk(data: bytes) -> Chunk:
    try:
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        raise broken("The upstream sent a stream event of an unknown shape.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise broken("The upstream sent a stream event that is not JSON.") from None
