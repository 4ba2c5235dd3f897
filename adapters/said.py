"""What was said in a request and its answer, in OpenTelemetry's words: messages of parts, instructions, tools.

https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-input-messages.json and its siblings. Whatever is
no message of a shape that is known is left out; pictures and sounds are told of, and not shown.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.base import Tally
    from adapters.schema import InferenceRequest

Message = dict[str, Any]
Part = dict[str, Any]

READ_BYTES_MAX: Final = 4 << 20
"""Of one member; what is longer is not taken apart."""
TOO_LONG: Final = "[cut]"
_MODALITIES: Final = {
    "image": "image",
    "input_image": "image",
    "image_url": "image",
    "input_audio": "audio",
    "audio": "audio",
}
_TEXTS: Final = frozenset({"text", "input_text", "output_text"})


def read(request: InferenceRequest, *names: str) -> object:
    """The first of these members that is there, as JSON has it; None where none is or it cannot be read."""
    for name in names:
        raw = request.members.get(name)
        if raw is None:
            continue
        if memoryview(raw).nbytes > READ_BYTES_MAX:
            return TOO_LONG
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
    return None


def input_messages(request: InferenceRequest) -> list[Message]:
    """The conversation, in its order; what is to be embedded, ranked or completed counts as a user's message."""
    if request.endpoint is Endpoint.RERANK:
        told = [read(request, "query"), read(request, "documents")]
        return [_message("user", list(_plain_parts(value))) for value in told if value]
    value = read(request, "messages", "input", "prompt")
    if not isinstance(value, list):
        return [_message("user", list(_plain_parts(value)))] if value else []
    if any(isinstance(item, dict) for item in value):
        return [message for item in value if isinstance(item, dict) and (message := _asked(item)) is not None]
    return [_message("user", list(_plain_parts(value)))]


def instructions(request: InferenceRequest) -> list[Part]:
    """Those that stand apart from the conversation, as the Responses API has them."""
    return list(_plain_parts(read(request, "instructions")))


def tool_definitions(request: InferenceRequest) -> list[Part]:
    value = read(request, "tools")
    found = []
    for tool in value if isinstance(value, list) else ():
        if isinstance(tool, dict):
            inner = tool.get("function")
            body = inner if isinstance(inner, dict) else tool
            kept = {name: body[name] for name in ("name", "description", "parameters") if name in body}
            found.append({"type": _word(tool.get("type"), "function"), **kept})
    return found


def output_messages(tally: Tally) -> list[Message]:
    """What was generated, as far as it was kept."""
    parts = list(_generated(tally))
    if not parts and not tally.finish_reasons:
        return []
    reason = tally.finish_reasons[0] if tally.finish_reasons else "error"
    return [{**_message("assistant", parts), "finish_reason": reason}]


def _message(role: str, parts: list[Part]) -> Message:
    return {"role": role, "parts": parts}


def _text(content: str) -> Part:
    return {"type": "text", "content": content}


def _word(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) and value else otherwise


def _plain_parts(value: object) -> Iterator[Part]:
    """A text, or a list of them; tokens that a caller has made itself are counted."""
    if isinstance(value, str):
        yield _text(value)
    elif isinstance(value, list):
        numbers = sum(isinstance(item, int) for item in value)
        if numbers:
            yield _text(f"[{numbers} tokens]")
        for item in value:
            if not isinstance(item, int):
                yield from _plain_parts(item.get("text") if isinstance(item, dict) else item)


def _asked(item: Message) -> Message | None:
    """A message of chat, or an item of the Responses API."""
    kind = item.get("type")
    if kind == "function_call":
        return _message("assistant", [_call(item.get("call_id"), item.get("name"), item.get("arguments"))])
    if kind == "function_call_output":
        return _message("tool", [_response(item.get("call_id"), item.get("output"))])
    role = item.get("role")
    if not isinstance(role, str):
        return None
    if role in ("tool", "function"):
        return _message("tool", [_response(item.get("tool_call_id"), item.get("content"))])
    parts = list(_parts(item.get("content")))
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := item.get(name), str) and thought:
            parts.insert(0, {"type": "reasoning", "content": thought})
    for call in _listed(item.get("tool_calls")):
        inner = call.get("function")
        if isinstance(inner, dict):
            parts.append(_call(call.get("id"), inner.get("name"), inner.get("arguments")))
    return _message(role, parts)


def _listed(value: object) -> list[Part]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _parts(content: object) -> Iterator[Part]:
    if isinstance(content, str):
        yield _text(content)
    for part in _listed(content):
        kind = part.get("type")
        if kind in _TEXTS and isinstance(part.get("text"), str):
            yield _text(part["text"])
        elif kind in _MODALITIES:
            yield {"type": "blob", "modality": _MODALITIES[kind], "content": "[not shown]"}
        elif isinstance(kind, str):
            yield {"type": kind}


def _call(id_: object, name: object, arguments: object) -> Part:
    """Arguments that are JSON are told as such, others as they came."""
    if isinstance(arguments, str):
        with contextlib.suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            arguments = msgspec.json.decode(arguments)
    part: Part = {"type": "tool_call", "name": _word(name, ""), "arguments": arguments}
    return {**part, "id": id_} if isinstance(id_, str) else part


def _response(id_: object, response: object) -> Part:
    if isinstance(response, list):
        response = "".join(part["text"] for part in _listed(response) if isinstance(part.get("text"), str))
    part: Part = {"type": "tool_call_response", "response": response}
    return {**part, "id": id_} if isinstance(id_, str) else part


def _generated(tally: Tally) -> Iterator[Part]:
    """Passages say what of the text was no plain answer; the rest is."""
    text = "".join(tally.text)
    at, name = 0, ""
    for passage in tally.passages or ():
        if passage.begin > at:
            yield _text(text[at : passage.begin])
        said, at = text[passage.begin : passage.end], passage.end
        if passage.kind == "name":
            name = said
        elif passage.kind == "arguments":
            yield _call(None, name, said)
        else:
            yield {"type": passage.kind, "content": said}
    if text[at:]:
        yield _text(text[at:])
