"""A caller's body, checked and taken apart: what the gateway needs to know, and every member as it came.

One raw decode of the top level and one typed decode of the known fields; neither builds what nobody reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgspec

from adapters import openai_bodies as bodies
from adapters.openai_members import check_numbers, read_any, read_members, too_deep
from adapters.openai_smuggled import refuse_smuggled
from adapters.openai_tools import check_schema
from adapters.schema import InferenceRequest, InvalidRequest
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE_BODY_BYTES: Final = 1024 * 1024
ITEMS_KEPT: Final = 1_000_000
VALUES_KEPT: Final = 100_000
SMALL_MEMBER_BYTES: Final = 256 * 1024

_WEIGHED: Final = {Endpoint.RESPONSES: "input", Endpoint.RERANK: "documents"}
_SCHEMA_FIELDS: Final = frozenset(("tools", "functions", "response_format", "text"))
# Members of which none has room for so much, whatever the escapes: looking at each entry first would take seconds.
_SMALL: Final = ("logit_bias", "metadata", "stop", "stream_options", "user", "encoding_format")
_LINKS: Final = ("image_url", "audio_url", "video_url", "document_url")
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?\$(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


class _Size(NamedTuple):
    """How much a request may have its upstream generate, and whether it may have it read more than text."""

    choices: int
    generations: int
    output_tokens_max: int | None = None
    has_media: bool = False


class _Form(NamedTuple):
    decoder: msgspec.json.Decoder[bodies.Body]
    fields: frozenset[str]
    check: Callable[[bodies.Body, dict[str, msgspec.Raw]], _Size]


def parse(endpoint: Endpoint, body: bytes) -> InferenceRequest:
    """The request in `body`. Raises `InvalidRequest`, naming the field, for anything that is not one."""
    members = read_members(body)
    refuse_smuggled(members)
    if len(body) > LARGE_BODY_BYTES:
        _check_counts(members)
    if len(body) > 2 * VALUES_KEPT:
        _check_values(endpoint, members)
    decoder, known, check = _FORMS[endpoint]
    try:
        fields = decoder.decode(body)
    except RecursionError:
        raise too_deep(None) from None
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    for name in members:
        if name not in known:
            check_numbers(name, members[name])
        if name in _SCHEMA_FIELDS:
            check_schema(name, members[name])
    include_usage = _check_shared(fields)
    size = check(fields, members)
    return InferenceRequest(endpoint, fields.model, fields.stream is True, include_usage, members, len(body), *size)


def _check_counts(members: dict[str, msgspec.Raw]) -> None:
    """Refuse a large body that would become millions of small objects, before it does."""
    if "messages" in members and bytes(members["messages"]).count(b'"role"') > bodies.MESSAGES_KEPT:
        message = f"'messages' has more than {bodies.MESSAGES_KEPT} messages."
        raise InvalidRequest(message, "messages", "context_length_exceeded")
    for name in _SMALL:
        if name in members and memoryview(members[name]).nbytes > SMALL_MEMBER_BYTES:
            raise InvalidRequest(f"'{name}' is larger than {SMALL_MEMBER_BYTES} bytes.", name)
    for name in ("input", "prompt", "documents"):
        raw = bytes(members.get(name, b""))
        if raw.startswith(b"[") and raw.count(b",") > ITEMS_KEPT:
            raise InvalidRequest(f"'{name}' has more than {ITEMS_KEPT} items.", name, "context_length_exceeded")


def _check_values(endpoint: Endpoint, members: dict[str, msgspec.Raw]) -> None:
    """Refuse a conversation of more values than anybody needs: whoever weighs it builds them all, for seconds."""
    name = _WEIGHED.get(endpoint, "messages")
    if name in members and _has_more_values(bytes(members[name]), VALUES_KEPT):
        raise InvalidRequest(f"'{name}' holds more than {VALUES_KEPT} values.", name, "context_length_exceeded")


def _has_more_values(raw: bytes, most: int) -> bool:
    """What stands in strings is no structure, but looking for their ends is worth it only where there is so much."""
    if _structure(raw) <= most:
        return False
    found = at = 0
    for text in _TEXT.finditer(raw):
        found += _structure(raw[at : text.start()])
        if found > most:
            return True
        at = text.end()
    return found + _structure(raw[at:]) > most


def _structure(raw: bytes) -> int:
    return raw.count(b"[") + raw.count(b"{") + raw.count(b",")


def _invalid(problem: str) -> InvalidRequest:
    """msgspec's words as ours: `Expected `int` <= 128 - at `$.n`` becomes `Invalid value for 'n': expected ...`."""
    match = _PROBLEM.fullmatch(problem)
    what, path = (match["what"], match["path"] or "") if match else (problem, "")
    missing = _MISSING.fullmatch(what)
    where = path.removeprefix(".").replace("[...]", "") + (f".{missing[1]}" if missing else "")
    where = where.removeprefix(".")
    # Clients are told of the message, not of the part, as OpenAI does.
    param = re.sub(r"\.content\[.*", ".content", where) or None
    if missing:
        return InvalidRequest(f"Missing required parameter: '{where}'.", param, "missing_required_parameter")
    shown = what[:1].lower() + what[1:200].replace("`", "")
    code = "invalid_type" if ", got " in what else "invalid_value"
    return InvalidRequest(f"Invalid value for '{where}': {shown}.", param, code)


def _check_shared(fields: bodies.Body) -> bool:
    """Whether the caller wants to see a stream's usage."""
    if not fields.model.isprintable() or fields.model.isspace():
        raise InvalidRequest("'model' must not hold control characters.", "model")
    if fields.user is not None and "\0" in fields.user:
        raise InvalidRequest("'user' must not hold NUL characters.", "user")
    if fields.metadata:
        for key, value in fields.metadata.items():
            if "\0" in key or "\0" in value:
                raise InvalidRequest("'metadata' must not hold NUL characters.", "metadata")
    options = getattr(fields, "stream_options", None)
    if options is None:
        return False
    if not fields.stream:
        raise InvalidRequest("'stream_options' is only allowed when 'stream' is true.", "stream_options")
    return isinstance(options, bodies.StreamOptions) and options.include_usage is True


def _check_chat(body: bodies.Body, _: dict[str, msgspec.Raw]) -> _Size:
    fields = cast("bodies.ChatBody", body)
    if fields.max_tokens is not None and fields.max_completion_tokens not in (None, fields.max_tokens):
        raise InvalidRequest("'max_tokens' and 'max_completion_tokens' differ; send one of them.", "max_tokens")
    has_media = False
    for number, message in enumerate(fields.messages):
        content = message.content
        if content is None:
            _check_contentless(number, message)
            has_media = has_media or message.audio is not None
        elif type(content) is list:
            for part in content:
                _check_part(number, part)
                has_media = has_media or part.type != "text"
    choices = fields.n or 1
    return _Size(choices, choices, fields.max_completion_tokens or fields.max_tokens, has_media)


def _check_contentless(number: int, message: bodies.Message) -> None:
    if message.role == "function":
        return
    instead = (message.tool_calls, message.function_call, message.refusal, message.audio)
    thought = (message.reasoning, message.reasoning_content)
    if message.role != "assistant" or not any(value is not None for value in (*instead, *thought)):
        where = f"messages[{number}].content"
        hint = "; only an assistant message with tool calls may leave it out" if message.role == "assistant" else ""
        raise InvalidRequest(f"Invalid value for '{where}': expected text or parts, got null{hint}.", where)


def _check_part(number: int, part: bodies.Part) -> None:
    where = f"messages[{number}].content"
    if part.type == "text":
        if part.text is None:
            raise InvalidRequest(f"A text part in '{where}' has no 'text'.", where, "missing_required_parameter")
    elif part.type in _LINKS:
        link = getattr(part, part.type)
        if link is None:
            message = f"A part of type '{part.type}' in '{where}' has no '{part.type}'."
            raise InvalidRequest(message, where, "missing_required_parameter")
        _check_link(link if isinstance(link, str) else link.url, where)


def _check_link(url: str, where: str) -> None:
    """Nothing is fetched here; an upstream will, so only what a provider fetches from the open web goes on."""
    scheme = url[:8].lower()
    if not scheme.startswith(("https://", "http://", "data:")):
        message = f"A link in '{where}' must be an http(s) or data: URL."
        raise InvalidRequest(message, where, "invalid_image_url")


def _check_completions(body: bodies.Body, _: dict[str, msgspec.Raw]) -> _Size:
    fields = cast("bodies.CompletionsBody", body)
    prompts = _check_texts("prompt", fields.prompt)
    choices = fields.n or 1
    if fields.best_of is not None and fields.best_of < choices:
        raise InvalidRequest("'best_of' must not be smaller than 'n'.", "best_of")
    return _Size(choices * prompts, (fields.best_of or choices) * prompts, fields.max_tokens)


def _check_embeddings(body: bodies.Body, _: dict[str, msgspec.Raw]) -> _Size:
    fields = cast("bodies.EmbeddingsBody", body)
    if fields.stream:
        raise InvalidRequest("Embeddings cannot be streamed.", "stream")
    if fields.input == "":
        raise InvalidRequest("'input' must not be empty.", "input")
    return _Size(_check_texts("input", fields.input), 0)


def _check_rerank(body: bodies.Body, _: dict[str, msgspec.Raw]) -> _Size:
    fields = cast("bodies.RerankBody", body)
    if fields.stream:
        raise InvalidRequest("Rankings cannot be streamed.", "stream")
    return _Size(len(fields.documents), 0)


def _check_texts(name: str, value: str | list[str | int | list[int]]) -> int:
    """How many texts: one string or one array of token ids counts one."""
    if isinstance(value, str):
        return 1
    kinds = {type(item) for item in value}
    if len(kinds) != 1 or [] in value:
        what = "must not be empty" if not value or [] in value else "must hold strings or token ids, not both"
        raise InvalidRequest(f"'{name}' {what}.", name)
    return 1 if int in kinds else len(value)


def _check_responses(body: bodies.Body, members: dict[str, msgspec.Raw]) -> _Size:
    fields = cast("bodies.ResponsesBody", body)
    if fields.input is None and fields.prompt is None:
        raise InvalidRequest("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if fields.background:  # what it generates is told to nobody but who asks for it later, and that is not served here
        raise InvalidRequest("'background' is not supported; leave it out.", "background", "unsupported_parameter")
    if "input" in members and b"image_url" in bytes(members["input"]):
        for url in _links_in(read_any("input", members["input"])):
            _check_link(url, "input")
    return _Size(1, 1, fields.max_output_tokens, type(fields.input) is not str)


def _links_in(value: object) -> list[str]:
    """Every `image_url` at any depth: Responses puts images into messages and into tool outputs alike."""
    waiting, found = [value], list[str]()
    while waiting:
        outer = waiting.pop()
        if isinstance(outer, dict):
            link = outer.get("image_url")
            url = link.get("url") if isinstance(link, dict) else link
            found += [url] if isinstance(url, str) else []
            waiting += outer.values()
        elif isinstance(outer, list):
            waiting += outer
    return found


def _form(shape: type[bodies.Body], check: Callable[[bodies.Body, dict[str, msgspec.Raw]], _Size]) -> _Form:
    return _Form(msgspec.json.Decoder(shape), frozenset(shape.__struct_fields__), check)


_FORMS: Final = {
    Endpoint.CHAT: _form(bodies.ChatBody, _check_chat),
    Endpoint.COMPLETIONS: _form(bodies.CompletionsBody, _check_completions),
    Endpoint.EMBEDDINGS: _form(bodies.EmbeddingsBody, _check_embeddings),
    Endpoint.RESPONSES: _form(bodies.ResponsesBody, _check_responses),
    Endpoint.RERANK: _form(bodies.RerankBody, _check_rerank),
}
