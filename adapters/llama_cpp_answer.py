"""The engine's events as OpenAI JSON: whole answers and streams, for chat, completions and forced tool calls.

A stream's chunk is put together from constant parts and one escaped text: no object is built per token.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.llama_cpp_logprobs import chat_logprobs, completion_logprobs
from policies.vocabulary import Endpoint, Usage

if TYPE_CHECKING:
    from adapters.llama_cpp_job import ChosenLogprob, Delta, Finished
    from adapters.schema import InferenceRequest

_JSON = msgspec.json.Encoder()
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """What all parts of one answer share."""

    endpoint: Endpoint
    id: str
    model: str
    created: int
    choices: int
    calls_tool: bool
    wants_logprobs: bool
    include_usage: bool

    @classmethod
    def of(cls, request: InferenceRequest, model: str, created: int, *, calls_tool: bool) -> Shape:
        is_chat = request.endpoint is Endpoint.CHAT
        asked = bytes(request.members.get("logprobs", b"null")) not in (b"null", b"false")
        return cls(
            endpoint=request.endpoint,
            id=("chatcmpl-" if is_chat else "cmpl-") + secrets.token_hex(12),
            model=model,
            created=created,
            choices=request.choices,
            calls_tool=calls_tool,
            wants_logprobs=asked,
            include_usage=request.include_usage,
        )

    @property
    def is_chat(self) -> bool:
        return self.endpoint is Endpoint.CHAT

    def reason(self, reason: str) -> str:
        return "tool_calls" if self.calls_tool and reason == "stop" else reason


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
    }


@dataclass(slots=True)
class _Whole:
    text: list[str] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    reason: str = "stop"


class WholeEncoder:
    """Gathers one answer."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._choices = [_Whole() for _ in range(shape.choices)]

    def delta(self, event: Delta) -> None:
        choice = self._choices[event.choice]
        choice.text.append(event.text)
        choice.logprobs += event.logprobs

    def finished(self, event: Finished) -> None:
        self._choices[event.choice].reason = self._shape.reason(event.reason)

    def body(self, usage: Usage) -> bytes:
        shape = self._shape
        answer = {
            "id": shape.id,
            "object": "chat.completion" if shape.is_chat else "text_completion",
            "created": shape.created,
            "model": shape.model,
            "choices": [self._choice(number, choice) for number, choice in enumerate(self._choices)],
            "usage": usage_json(usage),
        }
        return _JSON.encode(answer)

    def _choice(self, number: int, choice: _Whole) -> dict[str, Any]:
        text = "".join(choice.text)
        if not self._shape.is_chat:
            logprobs = completion_logprobs(choice.logprobs) if self._shape.wants_logprobs else None
            return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": choice.reason}
        logprobs = chat_logprobs(choice.logprobs) if self._shape.wants_logprobs else None
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self._shape.calls_tool:
            name, _, arguments = text.partition("\n")
            called = {"name": name, "arguments": arguments}
            message |= {"content": None, "tool_calls": [{"id": _call_id(), "type": "function", "function": called}]}
        return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": choice.reason}


class StreamEncoder:
    """Writes one stream, event by event."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        kind = "chat.completion.chunk" if shape.is_chat else "text_completion"
        head = {"id": shape.id, "object": kind, "created": shape.created, "model": shape.model}
        self._head = b"data: " + _JSON.encode(head)[:-1] + b',"choices":['
        # A caller who asked for usage is told in every chunk that it is not this one's turn yet.
        self._tail = b'],"usage":null}\n\n' if shape.include_usage else b"]}\n\n"
        self._names: dict[int, str | None] = {}
        self._offsets = [0] * shape.choices

    def opening(self) -> bytes:
        """What comes before any content: who speaks, in chat."""
        if not self._shape.is_chat:
            return b""
        role = {"role": "assistant", "content": None if self._shape.calls_tool else "", "refusal": None}
        return b"".join(self._delta(number, _JSON.encode(role), b"null") for number in range(self._shape.choices))

    def delta(self, event: Delta) -> bytes:
        if not event.text and not event.logprobs:
            return b""
        if not self._shape.is_chat:
            return self._completion(event)
        logprobs = _JSON.encode(chat_logprobs(event.logprobs)) if self._shape.wants_logprobs else b"null"
        if self._shape.calls_tool:
            return self._call_delta(event, logprobs)
        return self._delta(event.choice, b'{"content":' + _JSON.encode(event.text) + b"}", logprobs)

    def finished(self, event: Finished) -> bytes:
        reason = _JSON.encode(self._shape.reason(event.reason))
        start = b'{"index":%d,' % event.choice
        body = b'"delta":{},' if self._shape.is_chat else b'"text":"",'
        return self._head + start + body + b'"logprobs":null,"finish_reason":' + reason + b"}" + self._tail

    def ending(self, usage: Usage) -> bytes:
        """The usage chunk, if one was asked for, and the end marker."""
        if not self._shape.include_usage:
            return DONE
        return self._head + b'],"usage":' + _JSON.encode(usage_json(usage)) + b"}\n\n" + DONE

    def _delta(self, choice: int, delta: bytes, logprobs: bytes) -> bytes:
        inside = b'{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":null}' % (choice, delta, logprobs)
        return self._head + inside + self._tail

    def _completion(self, event: Delta) -> bytes:
        logprobs = b"null"
        if self._shape.wants_logprobs:
            logprobs = _JSON.encode(completion_logprobs(event.logprobs, self._offsets[event.choice]))
        self._offsets[event.choice] += len(event.text)
        text = _JSON.encode(event.text)
        inside = b'{"index":%d,"text":%b,"logprobs":%b,"finish_reason":null}' % (event.choice, text, logprobs)
        return self._head + inside + self._tail

    def _call_delta(self, event: Delta, logprobs: bytes) -> bytes:
        """Text up to the first line feed is the function's name, and is kept until it is whole."""
        named = self._names.get(event.choice, "")
        if named is None:
            call: dict[str, Any] = {"index": 0, "function": {"arguments": event.text}}
        else:
            name, line_feed, arguments = (named + event.text).partition("\n")
            if not line_feed:
                self._names[event.choice] = name
                return b""
            self._names[event.choice] = None
            called = {"name": name, "arguments": arguments}
            call = {"index": 0, "id": _call_id(), "type": "function", "function": called}
        return self._delta(event.choice, _JSON.encode({"tool_calls": [call]}), logprobs)


def _call_id() -> str:
    return "call_" + secrets.token_hex(12)
