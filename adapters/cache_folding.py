"""A stream of chat or completions as the one whole answer that it adds up to, or nothing where that would lose a part.

Left out on purpose is only what speaks of the pieces themselves: padding against eavesdroppers, and what filters said
of each piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.base import FailedStream
from adapters.cache_guardrails import FILTERS, was_filtered
from adapters.sse import EventSplitter, read_event
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from policies.usage import Usage

_OF_PIECES: Final = frozenset(("obfuscation", "x_groq", "choices", "usage"))
_OF_FILTERS: Final = FILTERS | {"content_filter_offsets"}
_FIRST_COUNTS: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_TEXTS: Final = ("reasoning", "reasoning_content", "content", "refusal")
_OF_CHOICES: Final = frozenset(("index", "delta", "text", "logprobs", "finish_reason"))
_OF_WHOLES: Final = ("message",)
_CHAT_LOGPROBS: Final = frozenset(("content", "refusal"))
_LOGPROBS: Final = frozenset(("tokens", "token_logprobs", "top_logprobs", "text_offset"))


class _Piece(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content: str


class _PieceChoice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    delta: _Piece
    index: int = 0
    logprobs: None = None
    finish_reason: None = None


class _PieceChunk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What nearly all events of a stream look like, at a quarter of what it takes to read just any."""

    choices: list[_PieceChoice]
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None
    usage: None = None
    obfuscation: Any = None


_PIECE: Final = msgspec.json.Decoder(_PieceChunk)


class _Lossy(Exception):  # noqa: N818 - a stream that is just not kept
    """Something in it that a whole answer has no place for, or nobody here understands."""


def fold(endpoint: Endpoint, events: bytes, usage: Usage | None = None) -> bytes | None:
    """The whole answer; None where it cannot be had without loss, or the stream has no honest end. `usage` stands in
    where the caller had not asked to see it.
    """
    folding = _Folding(is_chat=endpoint is Endpoint.CHAT)
    splitter = EventSplitter()
    try:
        for event in (*splitter.feed(events), splitter.rest()):
            if event:
                folding.take(event)
        return folding.whole(usage)
    except (_Lossy, FailedStream, msgspec.DecodeError, RecursionError):
        return None


class _Choice:
    """One choice as it adds up."""

    def __init__(self) -> None:
        self.role: object = None
        self.texts: dict[str, list[str]] = {}
        self.annotations: list[object] = []
        self.logprobs: dict[str, list[object] | None] | None = None
        self.reason: object = None
        self.others: dict[str, object] = {}


class _Folding:
    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._head: dict[str, object] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: object = None
        self._has_ended = False
        self._seen: tuple[object, ...] = ()

    def take(self, event: bytes) -> None:
        name, data = read_event(event)
        if data is None:
            return
        if name or self._has_ended:
            raise _Lossy
        if data.startswith(b"[DONE]"):
            self._has_ended = True
            return
        if self._choices and self._is_chat and self._take_piece(data):
            return
        chunk = msgspec.json.decode(data)
        if not isinstance(chunk, dict) or chunk.get("error"):
            raise _Lossy
        self._take_head(chunk)
        for choice in _list(chunk.get("choices")):
            self._take_choice(choice)

    def _take_piece(self, data: bytes) -> bool:
        """Whether this event was nothing but more text; what it says of the answer must have been said before."""
        try:
            chunk = _PIECE.decode(data)
        except msgspec.ValidationError:
            return False
        head = (chunk.id, chunk.object, chunk.created, chunk.model, chunk.system_fingerprint, chunk.service_tier)
        if head != self._seen:
            if any(value and name not in self._head for name, value in zip(_FIRST_COUNTS, head, strict=True)):
                return False
            self._seen = head
        for choice in chunk.choices:
            folded = self._choices.setdefault(choice.index, _Choice())
            folded.texts.setdefault("content", []).append(choice.delta.content)
        return True

    def whole(self, usage: Usage | None) -> bytes | None:
        if not self._has_ended or not self._choices:
            return None
        head = self._head | {"object": "chat.completion" if self._is_chat else "text_completion"}
        choices = [self._written(number, self._choices[number]) for number in sorted(self._choices)]
        told = self._usage if self._usage or usage is None else _usage_told(usage)
        return msgspec.json.encode(head | {"choices": choices} | ({"usage": told} if told else {}))

    def _take_head(self, chunk: dict[str, Any]) -> None:
        for name, value in chunk.items():
            if name in _OF_FILTERS and was_filtered(value):
                raise _Lossy
            if _says_nothing(name, value) or name in _OF_PIECES or name in _OF_FILTERS:
                continue
            if self._head.setdefault(name, value) != value and name not in _FIRST_COUNTS:
                raise _Lossy
        if chunk.get("usage"):
            self._usage = chunk["usage"]

    def _take_choice(self, choice: object) -> None:
        if not isinstance(choice, dict):
            raise _Lossy
        number = choice.get("index", 0)
        if type(number) is not int:
            raise _Lossy
        folded = self._choices.setdefault(number, _Choice())
        if choice.get("text" if self._is_chat else "delta") is not None:
            raise _Lossy
        if self._is_chat:
            _take_delta(folded, choice.get("delta"))
        else:
            _add_text(folded, "text", choice.get("text"))
        _take_logprobs(folded, choice.get("logprobs"), _CHAT_LOGPROBS if self._is_chat else _LOGPROBS)
        folded.reason = choice.get("finish_reason") or folded.reason
        for name, value in choice.items():
            if name not in _OF_CHOICES and value is not None:
                _take_other(folded, name, value)

    def _written(self, number: int, choice: _Choice) -> dict[str, object]:
        texts = {name: "".join(pieces) for name, pieces in choice.texts.items()}
        end = {"logprobs": choice.logprobs, "finish_reason": choice.reason} | choice.others
        if not self._is_chat:
            return {"index": number, "text": texts.get("text", "")} | end
        message: dict[str, object] = {"role": choice.role or "assistant", "content": texts.get("content")}
        message["refusal"] = texts.get("refusal") or None
        message |= {name: text for name, text in texts.items() if name not in message and text}
        if choice.annotations:
            message["annotations"] = choice.annotations
        return {"index": number, "message": message} | end


def _usage_told(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _says_nothing(name: str, value: object) -> bool:
    """Azure's first chunk, about filters only, has no names yet and is of no time."""
    return value is None or value == "" or (name == "created" and value == 0)


def _take_other(choice: _Choice, name: str, value: object) -> None:
    """What else is said of a choice is kept where it is said once, or the same each time."""
    if name in _OF_FILTERS:
        if was_filtered(value):
            raise _Lossy
    elif name in _OF_WHOLES or choice.others.setdefault(name, value) != value:
        raise _Lossy


def _take_delta(choice: _Choice, delta: object) -> None:
    if delta is None:
        return
    if not isinstance(delta, dict):
        raise _Lossy
    for name, value in delta.items():
        if name in _TEXTS:
            _add_text(choice, name, value)
        elif name == "annotations":
            choice.annotations += _list(value)
        elif name == "role" and isinstance(value, str):
            choice.role = choice.role or value
        elif value:
            raise _Lossy


def _add_text(choice: _Choice, name: str, value: object) -> None:
    if isinstance(value, str):
        choice.texts.setdefault(name, []).append(value)
    elif value is not None:
        raise _Lossy


def _take_logprobs(choice: _Choice, value: object, names: frozenset[str]) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not value.keys() <= names:
        raise _Lossy
    if choice.logprobs is None:
        choice.logprobs = {}
    for name, part in value.items():
        kept = choice.logprobs.get(name)
        choice.logprobs[name] = kept if part is None else [*(kept or ()), *_list(part)]


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Lossy
    return value
