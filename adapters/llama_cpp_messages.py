"""OpenAI's messages as chat templates want them: text as one string, tool arguments as objects, roles that exist.

What some templates ask for under other names is given to all: a result's function, and earlier thoughts.
"""

from __future__ import annotations

import json
from typing import Any, Final

from adapters.schema import InvalidRequest

ARGUMENT_VALUES_KEPT: Final = 100_000

# Templates know no `developer`; it is what newer clients call the system.
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def conversation(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raises `InvalidRequest`, naming the message, for what a text model cannot read."""
    if not messages:
        raise InvalidRequest("'messages' must not be empty.", "messages")
    _check_arguments(messages)
    read = [_message(number, message) for number, message in enumerate(messages)]
    calls = {
        call["id"]: call["function"]["name"] for one in read for call in one.get("tool_calls") or () if "id" in call
    }
    return [_named(message, calls) if message["role"] == "tool" else message for message in read]


def _check_arguments(messages: list[dict[str, Any]]) -> None:
    """Refuse arguments of far too many values: a text of megabytes is hundreds of megabytes once it is read."""
    values = 0
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            arguments = function.get("arguments") if isinstance(function, dict) else None
            values += sum(map(arguments.count, ",:[{")) if isinstance(arguments, str) else 0
    if values > ARGUMENT_VALUES_KEPT:
        excuse = f"The arguments in 'messages' hold more than {ARGUMENT_VALUES_KEPT} values."
        raise InvalidRequest(excuse, "messages", "context_length_exceeded")


def _named(message: dict[str, Any], calls: dict[str, str]) -> dict[str, Any]:
    """A result with the name of the function that gave it."""
    called = message.get("tool_call_id")
    return {"name": calls[called], **message} if isinstance(called, str) and called in calls else message


def _message(number: int, message: dict[str, Any]) -> dict[str, Any]:
    where = f"messages[{number}]"
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidRequest(f"'{where}.role' is not supported by the bundled engine.", f"{where}.role")
    read = {**message, "role": _ROLES[role], "content": _text(message.get("content"), f"{where}.content")}
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise InvalidRequest(f"Invalid value for '{where}.tool_calls': expected calls.", f"{where}.tool_calls")
        read["tool_calls"] = [_call(call, f"{where}.tool_calls") for call in calls]
    else:
        read.pop("tool_calls", None)
    if isinstance(thoughts := message.get("reasoning_content"), str):
        read.setdefault("thinking", thoughts)
    return read


def _text(content: object, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"Invalid value for '{where}': expected text or parts.", where)
    return "\n".join(_part(part, where) for part in content)


def _part(part: object, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get(kind) if isinstance(part, dict) and kind in ("text", "refusal") else None
    if not isinstance(text, str):
        message = f"'{where}' holds a part of type '{str(kind)[:40]}'; the bundled engine reads text only."
        raise InvalidRequest(message, where, "unsupported_parameter")
    return text


def _call(call: object, where: str) -> dict[str, Any]:
    """A tool call with its arguments as an object: templates write them as JSON themselves."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidRequest(f"'{where}' holds something other than a call of a function.", where)
    if not isinstance(call.get("id", ""), str):
        raise InvalidRequest(f"Invalid value for '{where}': a call's id is a text.", where)
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError, RecursionError):
        arguments = function.get("arguments")
    return {**call, "function": {**function, "arguments": arguments}}
