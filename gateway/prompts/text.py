"""What of a request's JSON is prompt: the texts that a tokenizer would see, and what stands for the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

MESSAGE_TOKENS = 3
REPLY_TOKENS = 3
"""OpenAI frames each message with three tokens and primes the reply with three (its cookbook, 2024)."""
IMAGE_TOKENS = 765
LOW_DETAIL_IMAGE_TOKENS = 85
"""OpenAI's published figures for a 1024 px square image and for `detail: low`; other sizes and families differ."""
BASE64_CHARS_PER_MEDIA_TOKEN = 2000
"""Speech: about ten tokens a second (OpenAI), at the 20 kB a second that compressed audio takes at most."""

_TEXT_MEMBERS = (
    "content",
    "text",
    "name",
    "arguments",
    "refusal",
    "output",
    "role",
    "instructions",
    "reasoning_content",
)
_MEDIA_MEMBERS = ("input_audio", "file", "file_data", "file_url", "data")
_SCHEMA_MEMBERS = ("tools", "functions", "response_format", "text")
_PROMPT_MEMBERS = {
    Endpoint.CHAT: ("messages",),
    Endpoint.COMPLETIONS: ("prompt", "suffix"),
    Endpoint.EMBEDDINGS: ("input",),
    Endpoint.RESPONSES: ("instructions", "input"),
    Endpoint.RERANK: ("query", "documents"),
}
_BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class Prompt:
    """Texts to be counted, and tokens already known: framing, media, and prompts sent as token ids."""

    texts: list[str] = field(default_factory=list)
    other_tokens: int = 0


def prompt_of(request: InferenceRequest) -> Prompt:
    """The prompt of a request, whatever its shape; never raises on odd JSON, which is taken for text."""
    prompt = Prompt()
    for name in _PROMPT_MEMBERS[request.endpoint]:
        if (raw := request.members.get(name)) is not None:
            _read(prompt, name, raw)
    if request.endpoint is Endpoint.RERANK and "query" in request.members:
        # The query is read again with each document. A guess for that, not its text as often: it may be long.
        prompt.other_tokens += (request.choices - 1) * memoryview(request.members["query"]).nbytes // _BYTES_PER_TOKEN
    if request.endpoint in (Endpoint.CHAT, Endpoint.RESPONSES):
        prompt.other_tokens += REPLY_TOKENS
        for name in _SCHEMA_MEMBERS:
            if (raw := request.members.get(name)) is not None:
                prompt.texts.append(bytes(raw).decode("utf-8", "replace"))
    return prompt


def _read(prompt: Prompt, name: str, raw: msgspec.Raw) -> None:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        prompt.texts.append(bytes(raw).decode("utf-8", "replace"))
        return
    if name in ("messages", "input") and isinstance(value, list):
        prompt.other_tokens += MESSAGE_TOKENS * sum(isinstance(item, dict) for item in value)
    _walk(prompt, value)


def _walk(prompt: Prompt, value: object) -> None:
    """Collect texts without recursion: the depth of a caller's JSON is the caller's choice."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                prompt.texts.append(text)
            case bool() | None:
                continue
            case int():
                prompt.other_tokens += 1
            case list() as items:
                waiting.extend(reversed(items))
            case dict() as members:
                _walk_members(prompt, members, waiting)


def _walk_members(prompt: Prompt, members: dict[str, object], waiting: list[object]) -> None:
    for name, value in members.items():
        if name == "image_url" or (name == "type" and value == "image"):
            prompt.other_tokens += _image_tokens(members, value)
        elif name in _MEDIA_MEMBERS:
            prompt.other_tokens += _media_tokens(value)
        elif isinstance(value, dict | list) or (name in _TEXT_MEMBERS and isinstance(value, str)):
            waiting.append(value)


def _image_tokens(part: dict[str, object], image: object) -> int:
    detail = image.get("detail") if isinstance(image, dict) else part.get("detail")
    return LOW_DETAIL_IMAGE_TOKENS if detail == "low" else IMAGE_TOKENS


def _media_tokens(value: object) -> int:
    """A guess at what an attachment costs, from the length of its base64; at least one token."""
    texts = value.values() if isinstance(value, dict) else [value]
    return 1 + sum(len(text) for text in texts if isinstance(text, str)) // BASE64_CHARS_PER_MEDIA_TOKEN
