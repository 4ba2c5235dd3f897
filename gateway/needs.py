"""What one request asks of whoever answers it: abilities, room for its prompt, and where it may go at all."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from multidict import istr

from gateway.errors import RequestError
from gateway.prompts.bounds import OTHERS
from gateway.prompts.estimates import per_text, quick_bound
from gateway.prompts.media import media_in
from gateway.prompts.parts import ELSEWHERE
from gateway.scrubbing import printable
from policies.route_rules import NO_REQUIREMENTS, Capability, Needs, Requirements
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from policies.matching import Way

REQUIRE: Final = istr("X-Pointsman-Require")
REQUIRE_CHARS_MAX: Final = 1000
NOTHING: Final[frozenset[Capability]] = frozenset()
STREAMING: Final = frozenset({Capability.STREAM})
# Members of which each may ask for more than text in and one text out.
_TELLING: Final = frozenset({
    "tools", "functions", "response_format", "text", "n", "best_of", "logprobs", "top_logprobs", "include",
    "reasoning_effort", "reasoning", "modalities", "audio", *ELSEWHERE,
})  # fmt: skip
_NO_EFFORT: Final = (None, "none", "minimal")
_FORMATS: Final[dict[object, Capability]] = {
    "json_object": Capability.JSON_MODE,
    "json_schema": Capability.JSON_SCHEMA,
}
_ENTRY: Final = re.compile(r"\s*(region|data_class)\s*=\s*([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})\s*", re.ASCII)
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


class _Role(msgspec.Struct, gc=False):
    role: Any = None
    tool_calls: msgspec.Raw | None = None


_ANY: Final = msgspec.json.Decoder()
_ROLES: Final = msgspec.json.Decoder(list[_Role])
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError)


def needs_of(call: Call, way: Way) -> Needs:
    """Tokens are bounded where the size of the prompt may decide who answers. Raises `RequestError` for a header that
    cannot be read.
    """
    request = call.request
    if request.has_media or request.choices > 1 or not _TELLING.isdisjoint(request.members):
        capabilities = _capabilities(request)
        tokens = per_text(request, quick_bound(request)) if way.weighs else 0
    else:
        capabilities = STREAMING if request.stream else NOTHING
        tokens = request.body_bytes + OTHERS.prompt_tokens if way.weighs else 0
    if way.lacked and Capability.PREFILL in way.lacked and _ends_with_assistant(request):
        capabilities |= {Capability.PREFILL}
    return _new(Needs, (capabilities, tokens, request.output_tokens_max, requirements_of(call, way), False))


def requirements_of(call: Call, way: Way) -> Requirements:
    """What key, route and caller require, all of it together: none can take back what another asked for."""
    required = way.route.requires
    if call.principal is not None and call.principal.requires is not NO_REQUIREMENTS:
        required = both(required, call.principal.requires)
    for name in call.headers:
        if "requir" in name or "REQUIR" in name or "Requir" in name:
            refuse_misspelt(name)
    if REQUIRE in call.headers:
        required = both(required, read_requirements(call.headers.getall(REQUIRE)))
    return required


def refuse_misspelt(name: str) -> None:
    """Whoever misspells what shall bind a call believes that it is bound. Raises `RequestError`."""
    spelt = name.lower()
    if "pointsman" in spelt and spelt != REQUIRE.lower():
        raise RequestError(
            f"There is no header {printable(spelt, 100)}; did you mean {REQUIRE.lower()}?",
            code="invalid_header",
            param=printable(spelt, 100),  # not the header's own name, whose type JSON does not know
        )


@lru_cache(256)  # bounded: callers may ask for what they like
def both(one: Requirements, other: Requirements) -> Requirements:
    return Requirements(one.regions | other.regions, one.data_classes | other.data_classes)


def read_requirements(values: Iterable[str]) -> Requirements:
    """What the caller's own header says: `region=eu, data_class=confidential`. Raises `RequestError`."""
    text = ", ".join(values)
    found: dict[str, set[str]] = {"region": set(), "data_class": set()}
    for entry in text.split(",") if len(text) <= REQUIRE_CHARS_MAX else [""]:
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise RequestError(
                f"The header {REQUIRE.lower()} is read as `region=NAME, data_class=NAME`, and this one cannot be.",
                code="invalid_header",
                param=REQUIRE.lower(),
            )
        found[match[1]].add(match[2])
    return Requirements(frozenset(found["region"]), frozenset(found["data_class"]))


def _capabilities(request: InferenceRequest) -> frozenset[Capability]:
    members = request.members
    found = set(media_in(request))
    if request.stream:
        found.add(Capability.STREAM)
    if _is_set(members, "tools") or _is_set(members, "functions"):
        found.add(Capability.TOOLS)
    if "n" in members and bytes(members["n"]) not in (b"1", b"null"):
        found.add(Capability.CHOICES)
    if "response_format" in members or "text" in members:
        found.update(_format(request))
    if _wants_logprobs(members):
        found.add(Capability.LOGPROBS)
    if _wants_reasoning(members):
        found.add(Capability.REASONING)
    if _wants_sound(request):
        found.add(Capability.AUDIO)
    return frozenset(found)


def _is_set(members: Mapping[str, msgspec.Raw], name: str) -> bool:
    raw = members.get(name)
    return raw is not None and bytes(raw) not in (b"null", b"[]", b"{}", b"false", b'""')


def _read(members: Mapping[str, msgspec.Raw], name: str) -> Any:  # noqa: ANN401 - any JSON at all
    """A member's value; None where it is not there or cannot be read, which is for its upstream to say."""
    raw = members.get(name)
    try:
        return None if raw is None else _ANY.decode(raw)
    except _UNREADABLE:
        return None


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _format(request: InferenceRequest) -> set[Capability]:
    chat = _member(_read(request.members, "response_format"), "type")
    responses = None
    if request.endpoint is Endpoint.RESPONSES:
        responses = _member(_member(_read(request.members, "text"), "format"), "type")
    return {_FORMATS[kind] for kind in (chat, responses) if isinstance(kind, str) and kind in _FORMATS}


def _wants_logprobs(members: Mapping[str, msgspec.Raw]) -> bool:
    """A completion's `logprobs: 0` asks for those of what was chosen."""
    if _is_set(members, "logprobs") or (_is_set(members, "top_logprobs") and bytes(members["top_logprobs"]) != b"0"):
        return True
    return "include" in members and b'"message.output_text.logprobs"' in bytes(members["include"])


def _wants_reasoning(members: Mapping[str, msgspec.Raw]) -> bool:
    if _read(members, "reasoning_effort") not in _NO_EFFORT:
        return True
    asked = _read(members, "reasoning")
    if not isinstance(asked, dict):
        return False
    return asked.get("effort", "low") not in _NO_EFFORT and any(asked.values())


def _wants_sound(request: InferenceRequest) -> bool:
    modalities = _read(request.members, "modalities")
    return isinstance(modalities, list) and "audio" in modalities


def _ends_with_assistant(request: InferenceRequest) -> bool:
    """Whether the answer would go on with what an assistant is said to have begun."""
    raw = request.members.get("messages") if request.endpoint is Endpoint.CHAT else None
    if raw is None:
        return False
    try:
        last = _ROLES.decode(raw)[-1]
    except (*_UNREADABLE, IndexError):
        return False
    return last.role == "assistant" and last.tool_calls is None
