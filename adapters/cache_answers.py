"""Which answers may be kept for others: whole, finished, and nothing but an answer.

Wording is read only to leave an answer out: what merely begins like a refusal costs a hit, never a wrong one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.base import FailedStream
from adapters.cache_guardrails import was_touched
from adapters.cache_refusals import begins_like_refusal
from adapters.sse import EventSplitter, read_event
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Storability(StrEnum):
    """Whether an answer may be kept, or why it may not; the value is counted."""

    YES = "yes"
    ERROR = "error"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    TOOL_CALLS = "tool_calls"
    EMPTY = "empty"
    UNFINISHED = "unfinished"
    MEDIA = "media"
    UNREADABLE = "unreadable"


_GOOD_ENDS: Final = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
_BAD_ENDS: Final = {
    "length": Storability.TRUNCATED,
    "max_tokens": Storability.TRUNCATED,
    "max_output_tokens": Storability.TRUNCATED,
    "content_filter": Storability.FILTERED,
    "guardrail_intervened": Storability.FILTERED,
    "safety": Storability.FILTERED,
    "recitation": Storability.FILTERED,
    "refusal": Storability.REFUSAL,
    "tool_calls": Storability.TOOL_CALLS,
    "function_call": Storability.TOOL_CALLS,
    "tool_use": Storability.TOOL_CALLS,
    "error": Storability.ERROR,
}
_BESIDE_TEXT: Final = {
    "refusal": Storability.REFUSAL,
    "tool_calls": Storability.TOOL_CALLS,
    "function_call": Storability.TOOL_CALLS,
    "audio": Storability.MEDIA,
    "images": Storability.MEDIA,
}


def storable(endpoint: Endpoint, body: bytes, *, is_events: bool = False) -> Storability:
    """Whether this answer, or with `is_events` this stream of them, may be kept."""
    try:
        value = _response_of(body) if is_events else msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, FailedStream):
        return Storability.UNREADABLE
    if value is None and is_events:
        return Storability.UNFINISHED
    if not isinstance(value, dict):
        return Storability.UNREADABLE
    if value.get("error"):
        return Storability.ERROR
    return Storability.FILTERED if was_touched(value) else _CHECKS[endpoint](value)


def _check_choices(value: dict[str, Any]) -> Storability:
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        return Storability.EMPTY
    return _first_reason(_check_choice(choice) for choice in choices)


def _check_choice(choice: object) -> Storability:
    if not isinstance(choice, dict):
        return Storability.UNREADABLE
    message = choice.get("message", choice)
    if not isinstance(message, dict):
        return Storability.UNREADABLE
    if was_touched(choice) or was_touched(message):
        return Storability.FILTERED
    beside = next((why for name, why in _BESIDE_TEXT.items() if message.get(name)), None)
    if beside is not None:
        return beside
    reason = choice.get("finish_reason")
    if reason in _GOOD_ENDS:
        return _check_text(message.get("content") if "message" in choice else choice.get("text"))
    return _BAD_ENDS.get(str(reason).lower(), Storability.UNFINISHED)


def _check_text(content: object) -> Storability:
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not content.strip():
        return Storability.EMPTY
    return Storability.REFUSAL if begins_like_refusal(content) else Storability.YES


def _check_response(value: dict[str, Any]) -> Storability:
    status = value.get("status")
    if status != "completed":
        details = value.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        unfinished = Storability.ERROR if status == "failed" else Storability.UNFINISHED
        return _BAD_ENDS.get(str(reason).lower(), unfinished)
    output = value.get("output")
    if not isinstance(output, list):
        return Storability.UNREADABLE
    told = [item for item in output if not (isinstance(item, dict) and item.get("type") == "reasoning")]
    return _first_reason(_check_item(item) for item in told) if told else Storability.EMPTY


def _check_item(item: object) -> Storability:
    if not isinstance(item, dict):
        return Storability.UNREADABLE
    if item.get("type") != "message":
        return Storability.TOOL_CALLS
    parts = item.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return Storability.UNREADABLE
    if any(part.get("type") == "refusal" for part in parts):
        return Storability.REFUSAL
    if any(part.get("type") != "output_text" for part in parts):
        return Storability.MEDIA
    return _check_text(parts)


def _check_embeddings(value: dict[str, Any]) -> Storability:
    data = value.get("data")
    if not isinstance(data, list) or not data:
        return Storability.EMPTY
    is_whole = all(isinstance(item, dict) and item.get("embedding") for item in data)
    return Storability.YES if is_whole else Storability.EMPTY


def _check_ranking(value: dict[str, Any]) -> Storability:
    results = value.get("results", value.get("data"))
    return Storability.YES if isinstance(results, list) and results else Storability.EMPTY


def _first_reason(checks: Iterator[Storability]) -> Storability:
    return next((check for check in checks if check is not Storability.YES), Storability.YES)


def _response_of(events: bytes) -> object:
    """The whole response that a stream of Responses ends with; None where it does not end with one."""
    splitter = EventSplitter()
    for event in (*splitter.feed(events), splitter.rest()):
        data = read_event(event)[1] if event else None
        if not data or data.startswith(b"[DONE]"):
            continue
        value = msgspec.json.decode(data)
        if isinstance(value, dict) and value.get("type") in _RESPONSE_ENDS:
            return value.get("response", value)
    return None


_RESPONSE_ENDS: Final = ("response.completed", "response.incomplete", "response.failed", "error")
_CHECKS: Final[dict[Endpoint, Callable[[dict[str, Any]], Storability]]] = {
    Endpoint.CHAT: _check_choices,
    Endpoint.COMPLETIONS: _check_choices,
    Endpoint.RESPONSES: _check_response,
    Endpoint.EMBEDDINGS: _check_embeddings,
    Endpoint.RERANK: _check_ranking,
}
