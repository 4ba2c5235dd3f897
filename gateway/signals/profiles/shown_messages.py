"""What was said, by OpenInference's flat names: a number for each message, and for each of its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.signals.span_values import json_text, system_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.signals.span_values import Shown, Value


def shown_to_openinference(shown: Shown) -> dict[str, Value]:
    asked = [*system_message(shown), *shown.asked]
    attributes: dict[str, Value] = {
        "input.value": json_text(asked),
        "input.mime_type": "application/json",
        "output.value": json_text(shown.answered),
        "output.mime_type": "application/json",
    }
    for side, messages in (("llm.input_messages", asked), ("llm.output_messages", shown.answered)):
        for number, message in enumerate(messages):
            attributes.update(_message(f"{side}.{number}.message", message))
    for number, tool in enumerate(shown.tools):
        attributes[f"llm.tools.{number}.tool.json_schema"] = json_text(tool)
    return attributes


def _message(name: str, message: dict[str, Any]) -> Iterator[tuple[str, Value]]:
    yield f"{name}.role", str(message.get("role", ""))
    texts = []
    calls = 0
    for part in message.get("parts", ()):
        if not isinstance(part, dict):
            continue
        if part.get("type") == "tool_call":
            call = f"{name}.tool_calls.{calls}.tool_call"
            calls += 1
            yield f"{call}.function.name", str(part.get("name", ""))
            yield f"{call}.function.arguments", json_text(part.get("arguments"))
            if isinstance(part.get("id"), str):
                yield f"{call}.id", part["id"]
        elif part.get("type") == "tool_call_response":
            texts.append(_text(part.get("response")))
            if isinstance(part.get("id"), str):
                yield f"{name}.tool_call_id", part["id"]
        elif isinstance(part.get("content"), str):
            texts.append(part["content"])
    if texts:
        yield f"{name}.content", "\n".join(texts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)
