"""litellm's answers as OpenAI's bytes, and what they show of themselves.

litellm adds members of its own (costs, hidden parameters, another gateway's ids) and, where a provider left usage
out, zeros; neither goes further than this.
"""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any, Final

import msgspec

from adapters.base import FailedStream, Tally
from adapters.openai_usage_details import read_details
from adapters.usage_fields import count, cut_to_whole, not_believed
from gateway.litellm.failure import failure_of
from policies.usage import Usage
from policies.vocabulary import FailureKind

TEXT_KEPT_CHARS: Final = 256 * 1024
DONE: Final = b"data: [DONE]\n\n"
_TEXTS: Final = ("reasoning_content", "content", "refusal")


class ToolSlots:
    """Keeps parallel tool calls apart: litellm numbers those of some providers all 0, though each has its own id."""

    __slots__ = ("_ids", "_latest")

    def __init__(self) -> None:
        self._ids: dict[int, list[str]] = {}
        self._latest: dict[tuple[int, int], int] = {}

    def sort(self, choice: int, calls: list[dict[str, Any]] | None) -> None:
        """Give each call its index, in place. A part without an id belongs to the latest call under its number."""
        ids = self._ids.setdefault(choice, [])
        for call in calls or ():
            number = call.get("index") or 0
            if (own := call.get("id")) and own not in ids:
                self._latest[choice, number] = max(number, len(ids))
                ids.append(own)
            call["index"] = self._latest.get((choice, number), number)


class StreamTranslator:
    """Turns litellm's chunks into events; `ended` once the provider gave a finish reason."""

    __slots__ = ("_include_usage", "_kept_chars", "_slots", "_stamp", "ended", "started", "tally")

    def __init__(self, *, include_usage: bool) -> None:
        self.tally = Tally()
        self.started = False
        self.ended = False
        self._include_usage = include_usage
        self._kept_chars = 0
        self._slots = ToolSlots()
        self._stamp: dict[str, Any] = {}

    def feed(self, chunk: dict[str, Any], *, provider_finished: bool) -> bytes:
        """The event for one chunk; empty for one that only carries usage.

        `provider_finished`: whether the provider named a finish reason so far. litellm makes up `stop` at the end of
        a stream without one, so a finish reason that the provider did not give means a stream cut short. Raises
        `FailedStream`.
        """
        _note_identity(self.tally, chunk)
        if isinstance(chunk.get("usage"), dict):
            self.tally.usage = usage_of(chunk["usage"], chunk.get("service_tier")) or self.tally.usage
        choices = [self._choice(choice) for choice in chunk.get("choices", ())]
        if any(choice["finish_reason"] for choice in choices):
            if not provider_finished:
                raise FailedStream(failure_of(FailureKind.TRUNCATED))
            self.ended = True
        self._stamp = {name: chunk.get(name) for name in ("id", "created", "model")} | {
            "object": "chat.completion.chunk"
        }
        kept = [choice for choice in choices if choice["delta"] or choice["finish_reason"]]
        return _event(self._stamp | {"choices": kept}) if kept else b""

    def finish(self) -> bytes:
        """The events still owed at the end. Raises `FailedStream` when the provider never said that it was done."""
        if not self.ended:
            raise FailedStream(failure_of(FailureKind.TRUNCATED))
        if self._include_usage and self.tally.usage is not None:
            return _event(self._stamp | {"choices": [], "usage": wire_usage(self.tally.usage)}) + DONE
        return DONE

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        delta = choice.get("delta") or {}
        self._slots.sort(choice.get("index", 0), delta.get("tool_calls"))
        texts = _generated(delta)
        self._kept_chars = _keep(self.tally, texts, self._kept_chars)
        self.started = self.started or bool(texts) or bool(delta.get("audio")) or bool(delta.get("images"))
        reason = choice.get("finish_reason")
        if reason:
            self.tally.add_reason(reason)
        shown: dict[str, Any] = {"index": choice.get("index", 0), "delta": delta, "finish_reason": reason}
        if choice.get("logprobs") is not None:
            shown["logprobs"] = choice["logprobs"]
        return shown


def whole_answer(reply: dict[str, Any], *, calls_stop: bool) -> tuple[bytes, Tally]:
    """A chat completion's body and tally. Raises `FailedStream` when there is no message in it.

    `calls_stop`: this provider's tool calls come under the finish reason `stop`, which is put right.
    """
    choices = [_whole_choice(choice, calls_stop=calls_stop) for choice in reply.get("choices") or ()]
    if not choices:
        raise FailedStream(failure_of(FailureKind.BAD_RESPONSE))
    tally = Tally(finish_reasons=[choice["finish_reason"] for choice in choices])
    _note_identity(tally, reply)
    _keep(tally, [text for choice in choices for text in _generated(choice["message"])], 0)
    body = {name: reply.get(name) for name in ("id", "created", "model")} | {
        "object": "chat.completion",
        "choices": choices,
    }
    if (usage := usage_of(reply.get("usage") or {}, reply.get("service_tier"))) is not None:
        tally.usage = usage
        body["usage"] = wire_usage(usage)
    return msgspec.json.encode(body), tally


def embeddings_answer(reply: dict[str, Any], *, as_base64: bool) -> tuple[bytes, Tally]:
    """An embedding list's body and tally. Raises `FailedStream` unless every vector is there and made of numbers."""
    rows = reply.get("data") or []
    vectors: list[Any] = [row.get("embedding") for row in rows if isinstance(row, dict)]
    if not vectors or not all(map(_is_vector, vectors)):
        raise FailedStream(failure_of(FailureKind.BAD_RESPONSE))
    tally = Tally(model=reply.get("model"), usage=usage_of(reply.get("usage") or {}))
    used = tally.usage.input_tokens if tally.usage else 0
    body = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if as_base64 else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": reply.get("model"),
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }
    return msgspec.json.encode(body), tally


def usage_of(usage: dict[str, Any], service: object = None) -> Usage | None:
    """litellm's usage, whose input already holds cached and cache-written tokens, with the tier of service that is
    named beside it. No input at all means: not reported. A cost in it is one that the provider has named.
    """
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if not prompt:
        return None
    prompt_details = usage.get("prompt_tokens_details") or {}
    written = _count(prompt_details, "cache_creation_tokens") or _count(usage, "cache_creation_input_tokens")
    read = Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=_count(prompt_details, "cached_tokens"),
        cache_write_tokens=written,
        reasoning_tokens=_count(usage.get("completion_tokens_details") or {}, "reasoning_tokens"),
        details=read_details(_without_reckoning(usage), service, 0),
    )
    return cut_to_whole(read, tuple(not_believed(usage)))


def _without_reckoning(usage: dict[str, Any]) -> dict[str, Any]:
    """litellm puts what it reckons itself where providers put what they bill; only OpenRouter's says more of it."""
    is_reckoned = isinstance(usage.get("cost"), int | float) and not usage.get("cost_details")
    return usage | {"cost": None} if is_reckoned else usage


def wire_usage(usage: Usage) -> dict[str, Any]:
    """Usage as OpenAI writes it."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _whole_choice(choice: dict[str, Any], *, calls_stop: bool) -> dict[str, Any]:
    message = choice.get("message")
    if not isinstance(message, dict):
        raise FailedStream(failure_of(FailureKind.BAD_RESPONSE))
    reason = choice.get("finish_reason") or "stop"
    if reason == "stop" and calls_stop and message.get("tool_calls"):
        reason = "tool_calls"
    return {
        "index": choice.get("index", 0),
        "message": {"role": "assistant", "content": None, "refusal": None} | message,
        "finish_reason": reason,
        "logprobs": choice.get("logprobs"),
    }


def _note_identity(tally: Tally, reply: dict[str, Any]) -> None:
    tally.id = reply.get("id") or tally.id
    tally.model = reply.get("model") or tally.model


def _generated(message: dict[str, Any]) -> list[str]:
    """What was generated in a message or delta, in order."""
    texts = [message.get(name) for name in _TEXTS]
    functions = [call.get("function") for call in message.get("tool_calls") or () if isinstance(call, dict)]
    functions.append(message.get("function_call"))
    for function in functions:
        if isinstance(function, dict):
            texts += [function.get("name"), function.get("arguments")]
    return [text for text in texts if isinstance(text, str) and text]


def _keep(tally: Tally, texts: list[str], kept_chars: int) -> int:
    """Keep texts for counting up to a limit; yields how many characters are kept now."""
    for text in texts:
        if kept_chars + len(text) > TEXT_KEPT_CHARS:
            tally.text_dropped_chars += len(text)
        else:
            kept_chars += len(text)
            tally.text.append(text)
    return kept_chars


def _is_vector(vector: object) -> bool:
    return isinstance(vector, list) and bool(vector) and all(isinstance(number, int | float) for number in vector)


def _packed(vector: list[float]) -> str:
    """Little-endian 32-bit floats in base64, as the SDKs decode them."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _count(members: object, name: str) -> int:
    return count(members.get(name)) or 0 if isinstance(members, dict) else 0


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
