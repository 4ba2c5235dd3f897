"""The request that has another model go on where a stream broke: the caller's own, with the text sent so far in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest

_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_MEMBERS_OF_TEXT: Final = frozenset(("role", "content", "name", "prefix"))


def continued(request: InferenceRequest, text: str, tokens: int) -> InferenceRequest | None:
    """`request` with `text` as the beginning of its answer, and `tokens` fewer to generate; None where it has no room
    for a beginning. Of what the caller sent nothing else changes.
    """
    name = "messages" if request.endpoint is Endpoint.CHAT else "prompt"
    raw = request.members.get(name)
    try:
        begun = None if raw is None else _begun_chat(raw, text) if name == "messages" else _begun_prompt(raw, text)
    except msgspec.MsgspecError:
        return None
    if raw is None or begun is None:
        return None
    members = request.members | {name: msgspec.Raw(begun)} | _lowered(request, tokens)
    added_bytes = len(begun) - memoryview(raw).nbytes
    return msgspec.structs.replace(
        request,
        members=members,
        body_bytes=request.body_bytes + added_bytes,
        output_tokens_max=_left(request.output_tokens_max, tokens),
        output_tokens_added=_left(request.output_tokens_added, tokens),
    )


def _begun_chat(raw: msgspec.Raw, text: str) -> bytes | None:
    messages = _MESSAGES.decode(raw)
    if not messages:
        return None
    last = _MESSAGE.decode(messages[-1])
    if bytes(last.get("role", b"")) == b'"assistant"':  # the caller began the answer already
        if not last.keys() <= _MEMBERS_OF_TEXT or "content" not in last:
            return None
        last["content"] = msgspec.Raw(msgspec.json.encode(_TEXT.decode(last["content"]) + text))
        messages[-1] = msgspec.Raw(msgspec.json.encode(last))
    else:
        messages.append(msgspec.Raw(msgspec.json.encode({"role": "assistant", "content": text})))
    return msgspec.json.encode(messages)


def _begun_prompt(raw: msgspec.Raw, text: str) -> bytes:
    return msgspec.json.encode(_TEXT.decode(raw) + text)


def _lowered(request: InferenceRequest, tokens: int) -> dict[str, msgspec.Raw]:
    """The caller's own limits, less what was generated."""
    asked = request.output_tokens_max
    if asked is None:
        return {}
    lowered = msgspec.Raw(b"%d" % max(1, asked - tokens))
    return {name: lowered for name in _LIMITS if bytes(request.members.get(name, b"null")) != b"null"}


def _left(limit: int | None, tokens: int) -> int | None:
    """The text may have ended right at its limit, and no upstream takes a limit of nothing."""
    return None if limit is None else max(1, limit - tokens)
