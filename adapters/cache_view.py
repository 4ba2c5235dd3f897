"""What a cache has to know of a request: what keeps it apart from others, and the last question in it.

Every member keeps requests apart unless it is listed here as never changing an answer, or by the route; one that nobody
here has heard of does as well.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from adapters import openai_bodies as bodies
from adapters.cache_contents import Contents, look_into
from adapters.cache_normal import Unclear, read, write
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

LARGEST_BYTES: Final = 1024 * 1024
VALUES_MOST: Final = 30_000
NEVER_MATTER: Final = frozenset((
    "stream", "stream_options",  # how the answer is delivered; the form says where that matters
    "metadata", "store",  # what the provider keeps of it, for its own console
    "service_tier",  # how soon, and at what price
    "prompt_cache_key", "prompt_cache_retention",  # what the provider remembers of the prompt, never what it says
))  # fmt: skip
UNIGNORABLE: Final = frozenset((
    "model", "messages", "input", "prompt", "query", "documents", "instructions", "tools", "functions", "suffix",
))  # fmt: skip
"""Members that no route can have ignored: they are what is asked."""
_REPEATED: Final = frozenset((
    "metadata", "service_tier", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
))  # fmt: skip
"""What an answer of Responses says again, and would tell whoever is served with it of whoever asked first."""

# What has an upstream put before the model what is not in the body: OpenAI's, Azure's, xAI's, Alibaba's, OpenRouter's,
# LiteLLM's, and vLLM's templates.
_ELSEWHERE: Final = frozenset((
    "previous_response_id", "conversation", "web_search_options", "chat_template", "plugins", "prompt_embeds",
    "data_sources", "search_parameters", "enable_search", "vector_store_ids", "file_ids",
))  # fmt: skip
SCALARS_KEPT: Final = 2_000
SCALAR_BYTES_MAX: Final = 64
_NESTED: Final = (ord("{"), ord("["))
_OWN_TOOLS: Final = ("function", "custom")
_CONVERSATION: Final = {Endpoint.CHAT: "messages", Endpoint.RESPONSES: "input"}
_QUESTION_PARTS: Final = ("text", "input_text")
_UNSET: Final = (b"null", b"[]", b"{}", b'""', b"false")
_SHAPES: Final = {
    Endpoint.CHAT: bodies.ChatBody,
    Endpoint.COMPLETIONS: bodies.CompletionsBody,
    Endpoint.EMBEDDINGS: bodies.EmbeddingsBody,
    Endpoint.RESPONSES: bodies.ResponsesBody,
    Endpoint.RERANK: bodies.RerankBody,
}
_KNOWN: Final = {endpoint: frozenset(shape.__struct_fields__) for endpoint, shape in _SHAPES.items()}
# What SDKs write into earlier messages where there is nothing to say.
_EMPTY_IN_MESSAGES: Final = ("refusal", "audio", "function_call", "tool_calls")


class CacheView(msgspec.Struct, frozen=True):
    """Digests are SHA-256 over JSON in one normal form, so that spacing and the order of members keep nothing apart.

    `scope` covers everything that can change the answer but the last question, `exact` that and the question. Media and
    what is asked of the upstream beside the text are in both. `question` is the text of the last message where that is
    a user's and nothing but text, else empty. `form` names the shape in which an answer is kept (a stream of an
    endpoint whose events cannot be made from a whole answer has its own), and is part of both digests.
    """

    scope: bytes
    exact: bytes
    question: str
    form: str
    temperature: float | None = None
    has_tool_calls: bool = False
    has_media: bool = False
    has_links: bool = False
    is_elsewhere: bool = False


class _Split(NamedTuple):
    """A conversation cut before its last question: what came before in normal form, how the question is put, its text
    in pieces. `pieces` is None where the last message is no such question; `before` is the whole then.
    """

    before: bytes
    put: bytes = b""
    pieces: list[str] | None = None


def view_of(request: InferenceRequest, ignored: frozenset[str] = frozenset()) -> CacheView | None:
    """The view; None where the request is too large to be looked at on the way."""
    if request.body_bytes > LARGEST_BYTES or _is_crowded(request):
        return None
    found = Contents(is_elsewhere=_is_elsewhere(request))
    form = form_of(request)
    digest = hashlib.sha256(b"pointsman answer 1")
    _add(digest, form.encode())
    talk = _CONVERSATION.get(request.endpoint, "")
    dropped = dropped_of(request.endpoint, ignored)
    for name in sorted(request.members):
        if name != talk and name not in dropped:
            _add_member(digest, request, name, found)
    split = _split(request, talk, found)
    _add(digest, split.before)
    scope, exact = digest.copy(), digest
    _add(scope, b"scope" + split.put)
    _add(exact, b"exact" + split.put)
    for piece in split.pieces or ():
        _add(exact, piece.encode())
    return CacheView(
        scope.digest(),
        exact.digest(),
        "\n".join(split.pieces or ()),
        form,
        _temperature(request),
        found.has_tool_calls,
        found.has_media,
        found.has_links,
        found.is_elsewhere,
    )


@lru_cache(SCALARS_KEPT)
def dropped_of(endpoint: Endpoint, ignored: frozenset[str]) -> frozenset[str]:
    """The members that keep no two requests apart; `ignored` are those that a route names."""
    dropped = (NEVER_MATTER | ignored) - UNIGNORABLE
    return dropped - _REPEATED if endpoint is Endpoint.RESPONSES else dropped


def form_of(request: InferenceRequest) -> str:
    """The shape in which its answer is kept: streams of chat and completions are kept as whole answers."""
    if request.stream and request.endpoint is Endpoint.RESPONSES:
        return f"{request.endpoint.value} stream"
    return request.endpoint.value


def _is_crowded(request: InferenceRequest) -> bool:
    """Whether it may hold more values than anybody could look at without keeping others waiting."""
    if request.body_bytes <= VALUES_MOST:
        return False
    values = 0
    for raw in request.members.values():
        text = bytes(raw)
        values += text.count(b",") + text.count(b"[") + text.count(b"{")
    return values > VALUES_MOST


def _add(digest: hashlib._Hash, part: bytes) -> None:
    digest.update(b"%d:%b" % (len(part), part))


def _add_member(digest: hashlib._Hash, request: InferenceRequest, name: str, found: Contents) -> None:
    raw = bytes(request.members[name])
    is_known = name in _KNOWN[request.endpoint]
    if is_known and raw == b"null":
        return
    if max(len(raw), len(name)) <= SCALAR_BYTES_MAX and raw[0] not in _NESTED and (written := _scalar(name, raw)):
        digest.update(written)
        return
    _add(digest, name.encode())
    try:
        value = read(raw)
    except Unclear:
        found.is_elsewhere = True
        _add(digest, b"unclear" + raw)
        return
    if isinstance(value, dict | list) and (not is_known or name == "instructions"):
        look_into(found, value)
    _add(digest, b"clear" + write(value))


@lru_cache(SCALARS_KEPT)
def _scalar(name: str, raw: bytes) -> bytes:
    """A member without parts as digests have it, empty where it is unclear: models, temperatures and bounds are few."""
    named = name.encode()
    try:
        written = b"clear" + write(read(raw))
    except Unclear:
        return b""
    return b"%d:%b%d:%b" % (len(named), named, len(written), written)


def _split(request: InferenceRequest, name: str, found: Contents) -> _Split:
    if name not in request.members:
        return _Split(b"none")
    raw = bytes(request.members[name])
    try:
        value = read(raw)
    except Unclear:
        found.is_elsewhere = True  # what an upstream reads in it is anybody's guess
        return _Split(b"unclear" + raw)
    if isinstance(value, str):
        return _Split(b"text", pieces=[value])
    look_into(found, value)
    if not isinstance(value, list):
        return _Split(b"clear" + write(value))
    for message in value:
        _drop_empty(message)
    put, pieces = _question(value[-1]) if value else (b"", None)
    if pieces is None:
        return _Split(b"clear" + write(value))
    return _Split(b"before" + write(value[:-1]), put, pieces)


def _question(message: object) -> tuple[bytes, list[str] | None]:
    """How the last message is put, without its text, and the text. A lone part of text means the same as a string."""
    if not isinstance(message, dict) or message.get("role") != "user":
        return b"", None
    if message.get("type", "message") != "message":
        return b"", None
    content = message.pop("content", None)
    if isinstance(content, str):
        return write(message), [content]
    pieces = _pieces(content)
    if pieces is None:
        message["content"] = content
        return b"", None
    frames = [{name: value for name, value in part.items() if name != "text"} for part in content]
    is_plain = len(frames) == 1 and frames[0].keys() == {"type"}
    return write(message if is_plain else message | {"content": frames}), pieces


def _pieces(content: object) -> list[str] | None:
    """The texts of a content that is nothing but parts of text."""
    if not isinstance(content, list) or not content:
        return None
    pieces = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") in _QUESTION_PARTS else None
        if not isinstance(text, str):
            return None
        pieces.append(text)
    return pieces


def _drop_empty(message: object) -> None:
    if isinstance(message, dict):
        for name in _EMPTY_IN_MESSAGES:
            if name in message and message[name] is None:
                del message[name]


def _temperature(request: InferenceRequest) -> float | None:
    raw = request.members.get("temperature")
    try:
        return None if raw is None else float(bytes(raw))
    except ValueError:
        return None


def _is_elsewhere(request: InferenceRequest) -> bool:
    """Whether the request alone says too little of what the model will see, or the answer has a life of its own."""
    if any(_is_set(request, name) for name in _ELSEWHERE.intersection(request.members)):
        return True
    if request.model.endswith(":online"):  # OpenRouter's way to ask for a search
        return True
    if request.endpoint is Endpoint.RESPONSES and (_is_set(request, "prompt") or _is_stored(request)):
        return True
    return _has_tools_elsewhere(request)


def _is_stored(request: InferenceRequest) -> bool:
    """What Responses store, and do unless told not to, can be gone on from by its id; a replay has none of its own."""
    return bytes(request.members.get("store", b"null")) != b"false"


def _has_tools_elsewhere(request: InferenceRequest) -> bool:
    raw = request.members.get("tools")
    if raw is None or bytes(raw) == b"null":
        return False
    try:
        tools = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return True
    if not isinstance(tools, list):
        return True
    return any(not isinstance(tool, dict) or tool.get("type") not in _OWN_TOOLS for tool in tools)


def _is_set(request: InferenceRequest, name: str) -> bool:
    raw = request.members.get(name)
    return raw is not None and bytes(raw) not in _UNSET
