"""A request's prompt taken apart into pieces that can each be counted, and remembered, by themselves."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.prompts.bounds import Found, find
from gateway.prompts.count_cache import CountKey
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.schema import InferenceRequest

_MESSAGES_MEMBER: Final = {Endpoint.CHAT: "messages", Endpoint.RESPONSES: "input"}
_TEXTS_MEMBER: Final = {Endpoint.COMPLETIONS: "prompt", Endpoint.EMBEDDINGS: "input"}
# What no model gets to see. Any other member counts as text: a chat template may print it.
_UNSEEN: Final = frozenset({
    "model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
    "best_of", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "presence_penalty", "frequency_penalty",
    "logit_bias", "logprobs", "top_logprobs", "encoding_format", "dimensions", "include", "background", "echo",
    "parallel_tool_calls", "reasoning_effort", "verbosity", "modalities", "audio", "truncation", "max_tool_calls",
    "tool_choice", "previous_response_id", "conversation", "top_n", "return_documents", "max_tokens_per_doc",
    "rank_fields",
})  # fmt: skip
# Members by which an upstream is told to put before the model what is not in the body: stored conversations, searches,
# OpenRouter's plugins, vLLM's templates.
ELSEWHERE: Final = frozenset(
    ("previous_response_id", "conversation", "web_search_options", "chat_template", "plugins", "prompt_embeds")
)
_BEYOND_CHAT: Final = ELSEWHERE | {"tools", "functions"}
# Members of a message or an item that hold parts, or are one themselves.
_IN_PARTS: Final = frozenset(
    ("content", "output", "audio", "input_audio", "image_url", "file", "audio_url", "video_url", "document_url")
)
# Tools that the caller runs. Any other is run by the upstream, which puts its findings before the model. A tuple, since
# a caller's `type` may be something that has no hash.
_OWN_TOOLS: Final = ("function", "custom")


# What has been parsed may still be too deep here, farther down the stack.
UNREADABLE: Final = (msgspec.DecodeError, RecursionError)


PAIR_TOKENS: Final = 128
"""What ranking models put around a query and a document: Qwen3's rerankers some 80 tokens, classifiers four."""


class _Tool(msgspec.Struct, gc=False):
    type: Any = None


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str


_PLAIN: Final = msgspec.json.Decoder(list[_Plain])
_ANY: Final = msgspec.json.Decoder()
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TOOLS: Final = msgspec.json.Decoder(list[_Tool])


class Part(NamedTuple):
    """A piece of a prompt. `is_message` False: its JSON text is itself what a model sees (definitions, schemas)."""

    key: CountKey
    raw: bytes
    is_message: bool

    def found(self) -> Found:
        if not self.is_message:
            return Found([self.raw.decode("utf-8", "replace")])
        try:
            return _found_in(_ANY.decode(self.raw))
        except UNREADABLE:
            return Found([self.raw.decode("utf-8", "replace")], elsewhere=True)


def _found_in(message: object) -> Found:
    """What a message holds. Whatever has structure beside its content (calls of tools) a template prints as JSON."""
    if not isinstance(message, dict):
        return find(message)
    printed = [value for name, value in message.items() if name not in _IN_PARTS and isinstance(value, dict | list)]
    if not printed:
        return find(message)
    found = find(
        {name: value for name, value in message.items() if name in _IN_PARTS or not isinstance(value, dict | list)}
    )
    for value in printed:
        within = find(value)
        found.texts.append(json.dumps(value, ensure_ascii=False))
        found.images += within.images + within.low_images
        found.elsewhere = found.elsewhere or within.elsewhere
    return found


class Parts(NamedTuple):
    """`messages` counts those to be framed; `id_tokens` came as token ids."""

    parts: list[Part]
    messages: int
    id_tokens: int
    is_conversation: bool
    has_tools: bool


def parts_of(request: InferenceRequest, profile: str) -> Parts:
    """The pieces of a request's prompt, in order. `profile` names the way in which they are going to be counted."""
    messages, texts = _MESSAGES_MEMBER.get(request.endpoint), _TEXTS_MEMBER.get(request.endpoint)
    pairs = "documents" if request.endpoint is Endpoint.RERANK else None
    parts: list[Part] = []
    framed = id_tokens = 0
    for name, raw in request.members.items():
        if name == messages:
            items = [bytes(item) for item in _items(raw)]
            framed += len(items)
            parts += [_part(item, profile) for item in items]
        elif name == texts:
            value = _ANY.decode(raw)
            written, id_tokens = _texts(value if isinstance(value, list) else [value])
            framed += len(written)
            parts += [_part(msgspec.json.encode(text), profile) for text in written]
        elif name == pairs:
            documents = [bytes(item) for item in _items(raw)]
            framed += len(documents)
            parts += [_part(item, profile) for item in documents]
        elif name == "query" and pairs:
            # Each document is read with the query before it.
            parts += [_part(bytes(raw), profile)] * request.choices
            id_tokens = PAIR_TOKENS * request.choices
        elif name not in _UNSEEN:
            parts.append(_part(bytes(raw), profile, is_message=name == "instructions"))
    has_tools = "tools" in request.members or "functions" in request.members
    return Parts(parts, framed, id_tokens, messages is not None, has_tools)


def pairs_bound(request: InferenceRequest) -> int:
    """What ranking reads beyond the body's bytes: the query with each document but the first, and words around both."""
    if request.endpoint is not Endpoint.RERANK or "query" not in request.members:
        return 0
    return (request.choices - 1) * memoryview(request.members["query"]).nbytes + request.choices * PAIR_TOKENS


def is_plain(request: InferenceRequest) -> bool:
    """True only where a prompt is a chat of roles and texts, with no tools; at half of what it takes to say more."""
    members = request.members
    if request.endpoint is not Endpoint.CHAT or not _BEYOND_CHAT.isdisjoint(members):
        return False
    try:
        _PLAIN.decode(members["messages"])
    except (KeyError, *UNREADABLE):
        return False
    return True


def is_elsewhere(request: InferenceRequest) -> bool:
    """Whether an upstream is told to put more before the model than the body holds, apart from what messages name."""
    members = request.members
    if not ELSEWHERE.isdisjoint(members) and any(_is_set(request, name) for name in ELSEWHERE):
        return True
    if request.endpoint is Endpoint.RESPONSES and _is_set(request, "prompt"):
        return True
    tools = members.get("tools")
    if tools is None:
        return False
    try:
        return any(tool.type not in _OWN_TOOLS for tool in _TOOLS.decode(tools))
    except UNREADABLE:
        return bytes(tools) != b"null"


def more_than_text(request: InferenceRequest) -> Iterator[object]:
    """The messages or items that hold more than a role and plain text. Raises `UNREADABLE`."""
    raw = request.members.get(_MESSAGES_MEMBER.get(request.endpoint, ""))
    if raw is None:
        return
    items = _ANY.decode(raw)
    for item in items if isinstance(items, list) else ():
        if type(item) is not dict or type(item.get("content")) is not str or len(item) > 2:
            yield item


def _items(raw: msgspec.Raw) -> list[msgspec.Raw]:
    return _ITEMS.decode(raw) if memoryview(raw)[0] == ord("[") else [raw]


def _texts(items: list[Any]) -> tuple[list[str], int]:
    """The strings, and the number of token ids, which may come in lists of their own."""
    written: list[str] = []
    id_tokens = 0
    for item in items:
        if isinstance(item, str):
            written.append(item)
        else:
            id_tokens += len(item) if isinstance(item, list) else 1
    return written, id_tokens


def _part(raw: bytes, profile: str, *, is_message: bool = True) -> Part:
    digest = hashlib.blake2b(raw, digest_size=16, person=b"message" if is_message else b"text").digest()
    return Part(CountKey(profile, digest), raw, is_message)


def _is_set(request: InferenceRequest, name: str) -> bool:
    raw = request.members.get(name)
    return raw is not None and bytes(raw) not in (b"null", b"[]", b'""')
