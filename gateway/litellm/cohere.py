"""Cohere's stream events in the shape that litellm (1.106) reads.

Cohere sends server-sent events whose data is `{"type": …, "index": …, "delta": {"message": {…}}}`
(docs.cohere.com/v2/docs/streaming, 2026-11). litellm expects bare JSON lines, the end of a message below `event` and
`data`, and tool calls as a list; given the real thing it fails at the first line, never sees the finish reason and
the usage, and drops tool calls.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_DECODER: Final = msgspec.json.Decoder(dict[str, Any])


def legible(payload: bytes) -> bytes | None:
    """One event's data as a line for litellm; None for what it has no use for. Raises `msgspec.DecodeError`."""
    event = _DECODER.decode(payload)
    delta = event.get("delta")
    match event.get("type"):
        case "content-delta":
            return payload
        case "tool-call-start" | "tool-call-delta" if isinstance(delta, dict):
            shaped = {"type": "tool-call-delta", "delta": {"tool_calls": [_tool_call(delta)]}}
        case "message-end" if isinstance(delta, dict):
            shaped = {"event": "message-end", "data": {"delta": _named(delta)}}
        case _:
            return None
    return msgspec.json.encode(shaped)


def _named(delta: dict[str, Any]) -> dict[str, Any]:
    """The end of a message with OpenAI's word for tool calls, which litellm would call `stop`."""
    return delta | {"finish_reason": "tool_calls"} if delta.get("finish_reason") == "TOOL_CALL" else delta


def _tool_call(delta: dict[str, Any]) -> dict[str, str]:
    message = delta.get("message")
    call = message.get("tool_calls") if isinstance(message, dict) else None
    if not isinstance(call, dict):
        return {}
    function = call.get("function")
    named = function if isinstance(function, dict) else {}
    return {"id": call.get("id") or "", "name": named.get("name") or "", "arguments": named.get("arguments") or ""}
