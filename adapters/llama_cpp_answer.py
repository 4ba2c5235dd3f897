"""The engine's events as OpenAI JSON: whole answers and streams, for chat and completions.

What a model writes of thoughts and tool calls is read out of its text by its dialect. A stream's chunk is put together
from constant parts and one escaped text: no object is built per token.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.dialects import Kind, Reader, dialect_named, tool_types
from adapters.llama_cpp_logprobs import chat_logprobs, completion_logprobs
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.dialects import Dialect, Piece
    from adapters.llama_cpp_job import ChosenLogprob, Delta, Finished, Job
    from adapters.schema import InferenceRequest
    from policies.usage import Usage

_JSON = msgspec.json.Encoder()
DONE = b"data: [DONE]\n\n"
_PLAIN = dialect_named("generic")


@dataclass(frozen=True, slots=True)
class Shape:
    """What all parts of one answer share.

    `calls_tool`: the answer is one call, as a grammar has it. `tools` are the functions that may be called otherwise.
    """

    endpoint: Endpoint
    id: str
    model: str
    created: int
    choices: int
    calls_tool: bool
    wants_logprobs: bool
    include_usage: bool
    tools: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dialect: Dialect = _PLAIN

    @classmethod
    def of(cls, request: InferenceRequest, job: Job, model: str, created: int, dialect: Dialect = _PLAIN) -> Shape:
        """`dialect` is what the model writes, and is looked for in conversations only."""
        is_chat = request.endpoint is Endpoint.CHAT
        asked = bytes(request.members.get("logprobs", b"null")) not in (b"null", b"false")
        return cls(
            endpoint=request.endpoint,
            id=("chatcmpl-" if is_chat else "cmpl-") + secrets.token_hex(12),
            model=model,
            created=created,
            choices=request.choices,
            calls_tool=bool(job.forced_tools),
            wants_logprobs=asked,
            include_usage=request.include_usage,
            # What has to obey a schema may look like a call, and is none.
            tools=tool_types(job.tools if job.schema is None else None),
            dialect=dialect if is_chat else _PLAIN,
        )

    @property
    def is_chat(self) -> bool:
        return self.endpoint is Endpoint.CHAT

    def reader(self, inside: str) -> Reader:
        return Reader(self.dialect, self.tools, opening=inside, forced=self.calls_tool)


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class _Choice:
    """One choice as it is written. Thoughts are counted by the tokens that arrive while the model thinks."""

    def __init__(self, shape: Shape, inside: str) -> None:
        self.reasoning_tokens = 0
        self._reader = shape.reader(inside)

    def read(self, event: Delta) -> list[Piece]:
        if self._reader.is_thinking:
            self.reasoning_tokens += event.tokens
        return self._reader.feed(event.text)

    def rest(self) -> list[Piece]:
        return self._reader.finish()

    def reason(self, reason: str) -> str:
        """Why the choice is over, as callers are told."""
        return "tool_calls" if self._reader.calls and reason == "stop" else reason


class Encoder:
    """What both ways to write an answer share. `inside`: the marks that it stands in from its first event on."""

    def __init__(self, shape: Shape) -> None:
        self.inside = ""
        self.reasons: list[str] = []
        self._shape = shape
        self._read: dict[int, _Choice] = {}

    @property
    def reasoning_tokens(self) -> int:
        """How many of the tokens so far were thoughts."""
        return sum(choice.reasoning_tokens for choice in self._read.values())

    def _choice(self, number: int) -> _Choice:
        choice = self._read.get(number)
        if choice is None:
            choice = self._read[number] = _Choice(self._shape, self.inside)
        return choice


@dataclass(slots=True)
class _Whole:
    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    reason: str = "stop"

    def add(self, pieces: Sequence[Piece]) -> None:
        for kind, text in pieces:
            if kind is Kind.CALL:
                self.calls.append([text])
            elif kind is Kind.ARGUMENTS:
                self.calls[-1].append(text)
            else:
                (self.text if kind is Kind.TEXT else self.thoughts).append(text)


class WholeEncoder(Encoder):
    """Gathers one answer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._choices = [_Whole() for _ in range(shape.choices)]

    def delta(self, event: Delta) -> None:
        choice = self._choices[event.choice]
        choice.add(self._choice(event.choice).read(event))
        choice.logprobs += event.logprobs

    def finished(self, event: Finished) -> None:
        choice, read = self._choices[event.choice], self._choice(event.choice)
        choice.add(read.rest())
        choice.reason = read.reason(event.reason)
        self.reasons.append(choice.reason)

    def body(self, usage: Usage) -> bytes:
        shape = self._shape
        answer = {
            "id": shape.id,
            "object": "chat.completion" if shape.is_chat else "text_completion",
            "created": shape.created,
            "model": shape.model,
            "choices": [self._written(number, choice) for number, choice in enumerate(self._choices)],
            "usage": usage_json(usage),
        }
        return _JSON.encode(answer)

    def _written(self, number: int, choice: _Whole) -> dict[str, Any]:
        text = "".join(choice.text)
        if not self._shape.is_chat:
            logprobs = completion_logprobs(choice.logprobs) if self._shape.wants_logprobs else None
            return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": choice.reason}
        logprobs = chat_logprobs(choice.logprobs) if self._shape.wants_logprobs else None
        called = choice.calls or self._shape.calls_tool
        message: dict[str, Any] = {"role": "assistant", "content": (text or None) if called else text, "refusal": None}
        if choice.thoughts:
            message["reasoning_content"] = "".join(choice.thoughts)
        if choice.calls:
            message["tool_calls"] = [
                {"id": _call_id(), "type": "function", "function": {"name": name, "arguments": "".join(arguments)}}
                for name, *arguments in choice.calls
            ]
        return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": choice.reason}


class StreamEncoder(Encoder):
    """Writes one stream, event by event."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        kind = "chat.completion.chunk" if shape.is_chat else "text_completion"
        head = {"id": shape.id, "object": kind, "created": shape.created, "model": shape.model}
        self._head = b"data: " + _JSON.encode(head)[:-1] + b',"choices":['
        # A caller who asked for usage is told in every chunk that it is not this one's turn yet.
        self._tail = b'],"usage":null}\n\n' if shape.include_usage else b"]}\n\n"
        self._offsets = [0] * shape.choices
        self._calls = [-1] * shape.choices
        self._logprobs: list[tuple[ChosenLogprob, ...]] = [()] * shape.choices

    def opening(self) -> bytes:
        """What comes before any content: who speaks, in chat."""
        if not self._shape.is_chat:
            return b""
        calls = self._shape.calls_tool or self._shape.tools
        role = {"role": "assistant", "content": None if calls else "", "refusal": None}
        return b"".join(self._delta(number, _JSON.encode(role), b"null") for number in range(self._shape.choices))

    def delta(self, event: Delta) -> bytes:
        if not event.text and not event.logprobs:
            self._choice(event.choice).read(event)
            return b""
        if not self._shape.is_chat:
            return self._completion(event)
        self._logprobs[event.choice] += event.logprobs
        return self._pieces(event.choice, self._choice(event.choice).read(event))

    def finished(self, event: Finished) -> bytes:
        choice = self._choice(event.choice)
        rest = self._pieces(event.choice, choice.rest()) if self._shape.is_chat else b""
        self.reasons.append(choice.reason(event.reason))
        if self._logprobs[event.choice]:
            rest += self._delta(event.choice, b"{}", self._due_logprobs(event.choice))
        start = b'{"index":%d,' % event.choice
        body = b'"delta":{},' if self._shape.is_chat else b'"text":"",'
        reason = _JSON.encode(self.reasons[-1])
        return rest + self._head + start + body + b'"logprobs":null,"finish_reason":' + reason + b"}" + self._tail

    def ending(self, usage: Usage) -> bytes:
        """The usage chunk, if one was asked for, and the end marker."""
        if not self._shape.include_usage:
            return DONE
        return self._head + b'],"usage":' + _JSON.encode(usage_json(usage)) + b"}\n\n" + DONE

    def _pieces(self, choice: int, pieces: Sequence[Piece]) -> bytes:
        """A chunk for each piece; a call's name and the first of its arguments share one."""
        chunks = []
        for at, (kind, text) in enumerate(pieces):
            if kind is Kind.TEXT:
                delta = b'{"content":' + _JSON.encode(text) + b"}"
            elif kind is Kind.THOUGHT:
                delta = b'{"reasoning_content":' + _JSON.encode(text) + b"}"
            elif kind is Kind.CALL:
                self._calls[choice] += 1
                follows = pieces[at + 1][1] if at + 1 < len(pieces) and pieces[at + 1][0] is Kind.ARGUMENTS else ""
                delta = self._call(choice, {"name": text, "arguments": follows}, _call_id())
            elif at and pieces[at - 1][0] is Kind.CALL:
                continue
            else:
                delta = self._call(choice, {"arguments": text})
            chunks.append(self._delta(choice, delta, self._due_logprobs(choice)))
        return b"".join(chunks)

    def _call(self, choice: int, function: dict[str, str], call_id: str | None = None) -> bytes:
        call: dict[str, Any] = {"index": self._calls[choice]}
        if call_id is not None:
            call |= {"id": call_id, "type": "function"}
        return _JSON.encode({"tool_calls": [call | {"function": function}]})

    def _due_logprobs(self, choice: int) -> bytes:
        """The log-probabilities of all tokens since the last chunk: they wait for text that was held back."""
        if not self._shape.wants_logprobs:
            return b"null"
        due, self._logprobs[choice] = self._logprobs[choice], ()
        return _JSON.encode(chat_logprobs(due)) if due else b"null"

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


def _call_id() -> str:
    return "call_" + secrets.token_hex(12)
