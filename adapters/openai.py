"""OpenAI's wire format, which most servers speak: in and out alike, so bytes pass and only `model` is rewritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from adapters.base import FailedStream, StreamDecoder, Tally, WireRequest
from adapters.openai_answer import read_answer
from adapters.openai_errors import classify, not_an_answer
from adapters.openai_responses import ResponsesDecoder
from adapters.openai_stream import ChatDecoder
from adapters.openai_text import TEXT_KEPT_BYTES, mended
from policies.vocabulary import ONLY_READ, Endpoint, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.schema import InferenceRequest

__all__ = ["TEXT_KEPT_BYTES", "OpenAIAdapter"]

_REPORTS_ON_REQUEST: Final = frozenset((Endpoint.CHAT, Endpoint.COMPLETIONS))
_OPTIONS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_TRUE: Final = msgspec.Raw(b"true")


class OpenAIAdapter:
    """Any OpenAI-compatible server: OpenAI, vLLM, TGI, Together, llama-server, Ollama, ...

    `chat_limit` is the member by which it is told how much to generate for a conversation: OpenAI's reasoning models
    refuse `max_tokens`, and most other servers learned `max_completion_tokens` late or never.
    """

    def __init__(self, chat_limit: str = "max_tokens") -> None:
        self._limits = {
            Endpoint.CHAT: chat_limit,
            Endpoint.COMPLETIONS: "max_tokens",
            Endpoint.RESPONSES: "max_output_tokens",
        }

    def encode(self, request: InferenceRequest, model: str) -> WireRequest:
        """The caller's members with `model` replaced; a stream is asked for its usage, which is how it gets paid."""
        members = request.members | {"model": msgspec.Raw(msgspec.json.encode(model))}
        if request.stream and not request.include_usage and request.endpoint in _REPORTS_ON_REQUEST:
            members["stream_options"] = _with_usage(members.get("stream_options"))
        if request.output_tokens_added is not None and (name := self._limits.get(request.endpoint)):
            members[name] = msgspec.Raw(b"%d" % request.output_tokens_added)
        return WireRequest(f"/{request.endpoint.value}", msgspec.json.encode(members))

    def decode(self, request: InferenceRequest, body: bytes) -> tuple[bytes, Tally]:
        if not body.isascii():
            body = mended(body)
        try:
            return body, read_answer(request.endpoint, body)
        except FailedStream:
            if (whole := mended(body)) == body:
                raise
            return whole, read_answer(request.endpoint, whole)

    def decoder(self, request: InferenceRequest) -> StreamDecoder:
        if request.endpoint is Endpoint.RESPONSES:
            return ResponsesDecoder(request)
        if request.endpoint in ONLY_READ:
            raise FailedStream(not_an_answer(b""))
        return ChatDecoder(request)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return classify(status, headers, body)


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    asked = (_OPTIONS.decode(options) if options is not None else None) or {}
    return msgspec.Raw(msgspec.json.encode(asked | {"include_usage": _TRUE}))
