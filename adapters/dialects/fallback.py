"""Tools for models whose chat template has no word for them: said in plain words, and calls shown as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Messages = list[dict[str, Any]]

_ASKED = """\
You can call functions. To call one, write a JSON object between <tool_call> tags and nothing else:
<tool_call>
{"name": "function-name", "arguments": {"argument-name": "value"}}
</tool_call>
You may write several calls, one after the other. Their results are given to you between <tool_response> tags. When no \
function helps, or you have the results that you need, answer in plain words.
These are the functions:
"""
_FORCED = """\
Answer with a call of one of these functions, as a JSON object between <tool_call> tags and nothing else:
<tool_call>
{"name": "function-name", "arguments": {"argument-name": "value"}}
</tool_call>
These are the functions:
"""


def instruction(tools: Sequence[Mapping[str, Any]], *, forced: bool) -> str:
    """What a model is told of the functions it can call, or must."""
    functions = (json.dumps(tool.get("function"), ensure_ascii=False) for tool in tools)
    return (_FORCED if forced else _ASKED) + "\n".join(functions)


def told(messages: Messages, text: str) -> Messages:
    """The conversation with an instruction by the system."""
    if messages and messages[0].get("role") == "system":
        return [{**messages[0], "content": _joined(messages[0].get("content"), text)}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def without_system(messages: Messages) -> Messages:
    """The conversation with the system's words at the head of the first that is the user's."""
    if len(messages) < 2 or messages[0].get("role") != "system" or messages[1].get("role") != "user":
        return messages
    content = _joined(messages[0].get("content"), messages[1].get("content"))
    return [{**messages[1], "content": content}, *messages[2:]]


def spoken_calls(messages: Messages) -> Messages:
    """Calls as text of the assistant's, for templates that would leave them out."""
    return [_spoken(message) if message.get("tool_calls") else message for message in messages]


def spoken_results(messages: Messages) -> Messages:
    """Results of calls as words of the user's, in one message with those that follow: turns have to alternate."""
    heard: Messages = []
    follows_result = False
    for message in messages:
        is_result = message.get("role") == "tool"
        text = message.get("content")
        if is_result:
            text = f"<tool_response>\n{text}\n</tool_response>"
        if follows_result and message.get("role") in ("tool", "user"):
            heard[-1] = {"role": "user", "content": _joined(heard[-1]["content"], text, "\n")}
        else:
            heard.append({"role": "user", "content": text} if is_result else message)
        follows_result = is_result or (follows_result and message.get("role") == "user")
    return heard


def _spoken(message: dict[str, Any]) -> dict[str, Any]:
    calls = []
    for call in message["tool_calls"]:
        function = call.get("function") or {}
        written = {"name": function.get("name"), "arguments": function.get("arguments")}
        calls.append(f"<tool_call>\n{json.dumps(written, ensure_ascii=False)}\n</tool_call>")
    content = _joined(message.get("content"), "\n".join(calls), "\n")
    return {"role": "assistant", "content": content}


def _joined(before: object, after: object, between: str = "\n\n") -> str:
    return between.join(str(text) for text in (before, after) if text)
