"""A canonical request as arguments for litellm: an explicit list of what a caller may set, and nothing besides.

litellm's functions take addresses, credentials, callbacks and mock answers as plain keyword arguments, so a member
that is not listed here never becomes one. Where a provider speaks OpenAI's format it travels in `extra_body` instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from policies.vocabulary import Endpoint, Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adapters.schema import InferenceRequest

CHAT_MEMBERS: Final = frozenset({
    "messages", "functions", "function_call", "temperature", "top_p", "n", "stop", "max_tokens",
    "max_completion_tokens", "modalities", "prediction", "audio", "presence_penalty", "frequency_penalty",
    "logit_bias", "user", "response_format", "seed", "tools", "tool_choice", "parallel_tool_calls", "logprobs",
    "top_logprobs", "reasoning_effort", "verbosity", "safety_identifier", "service_tier", "store",
    "prompt_cache_key", "thinking", "web_search_options", "top_k",
})  # fmt: skip
EMBEDDING_MEMBERS: Final = frozenset({"input", "dimensions", "input_type", "user"})

# Ours to say: the model is the deployment's, the stream's shape the driver's, base64 is made from floats here.
_OWN_MEMBERS: Final = frozenset({"model", "stream", "stream_options", "encoding_format"})
# Members that litellm, or a provider's driver in it, would take for a credential, an address or a switch of its own.
_NEVER_EXTRA: Final = frozenset({
    "api_base", "api_key", "api_version", "azure_ad_token", "base_url", "callbacks", "client", "custom_llm_provider",
    "extra_body", "extra_headers", "extra_query", "fallbacks", "guardrails", "headers", "litellm_metadata", "metadata",
    "mock_response", "model_list", "organization", "proxies", "timeout",
})  # fmt: skip
# Hints that change no answer, and settings in force anyway: providers that have no word for them need not refuse them.
_HINTS: Final = frozenset({"store", "prompt_cache_key", "safety_identifier"})
_NO_OPS: Final[dict[str, tuple[Any, ...]]] = {
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "tools": ([],),
    "stop": ([], ""),
}
_ADDRESS_MEMBERS: Final = frozenset(
    {"url", "uri", "image_url", "video_url", "file_url", "file_id", "file_uri", "fileUri", "s3Location"}
)
_TEXT_PARTS: Final = frozenset({"text", "refusal", "thinking", "input_text", "output_text"})
_PASSED_ON: Final = ("data:", "gs://", "s3://")

_ANY: Final = msgspec.json.Decoder()


class RefusedRequest(Exception):  # noqa: N818 - it carries a Failure; it is not an error of ours by name
    """A request that this driver will not send."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def chat_arguments(request: InferenceRequest, *, takes_extra: bool) -> dict[str, Any]:
    """Keyword arguments for `acompletion`. Raises `RefusedRequest` for what would make litellm fetch or run things."""
    arguments = _listed(request.members, CHAT_MEMBERS)
    _refuse_addresses(arguments.get("messages"))
    _refuse_hosted_tools(arguments.get("tools"))
    if not takes_extra:
        arguments = {name: value for name, value in arguments.items() if not _is_idle(name, value)}
    elif extra := _extra(request.members):
        arguments["extra_body"] = extra
    if request.output_tokens_added is not None:
        arguments["max_tokens"] = request.output_tokens_added  # litellm knows each provider's own name for it
    if request.stream:
        arguments["stream"] = True
        arguments["stream_options"] = {"include_usage": True}
    return arguments


def embedding_arguments(request: InferenceRequest) -> dict[str, Any]:
    """Keyword arguments for `aembedding`."""
    return _listed(request.members, EMBEDDING_MEMBERS)


def wants_base64(request: InferenceRequest) -> bool:
    """Whether embeddings are to be base64, which the official SDKs ask for unless told otherwise."""
    raw = request.members.get("encoding_format")
    return raw is not None and _decoded("encoding_format", raw) == "base64"


def require_endpoint(endpoint: Endpoint) -> None:
    """Raises `RefusedRequest` for endpoints that litellm is not used for."""
    if endpoint not in (Endpoint.CHAT, Endpoint.EMBEDDINGS):
        raise _refusal(
            f"Deployments of kind litellm do not serve /v1/{endpoint.value}.", "unsupported_endpoint", status=404
        )


def _listed(members: Mapping[str, msgspec.Raw], names: frozenset[str]) -> dict[str, Any]:
    values = {name: _decoded(name, raw) for name, raw in members.items() if name in names}
    return {name: value for name, value in values.items() if value is not None}


def _is_idle(name: str, value: object) -> bool:
    """Whether a provider's answer would be the same without this member. True is not 1 here, as JSON means it."""
    return name in _HINTS or any(
        value == idle and isinstance(value, bool) is isinstance(idle, bool) for idle in _NO_OPS.get(name, ())
    )


def _extra(members: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Members that we do not know, for providers that may."""
    unknown = members.keys() - CHAT_MEMBERS - _OWN_MEMBERS - _NEVER_EXTRA
    return {name: _decoded(name, members[name]) for name in members if name in unknown}


def _decoded(name: str, raw: msgspec.Raw) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise _refusal(f"`{name}` is not JSON that can be read.", "invalid_request") from None


def _refuse_addresses(messages: object) -> None:
    """litellm downloads web addresses in messages itself, from inside our network, for providers that take no
    addresses.
    """
    for index, part in _media_parts(messages):
        for address in _addresses(part):
            word = address.strip().lower()
            # What has neither a scheme nor a path is the id of a file at the provider.
            if not word.startswith(_PASSED_ON) and any(mark in word for mark in ":/\\"):
                raise _refusal(
                    f"messages[{index}] names a web address; send the data itself (`data:...`).", "invalid_image_url"
                )


def _media_parts(messages: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") not in _TEXT_PARTS:
                yield index, part


def _addresses(part: dict[str, Any]) -> Iterator[str]:
    """Every string below a member that names a place, however deep."""
    waiting: list[tuple[bool, object]] = [(False, part)]
    while waiting:
        named, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(
                (named or name in _ADDRESS_MEMBERS, item)
                for name, item in value.items()
                if name not in ("detail", "format")
            )
        elif isinstance(value, list):
            waiting.extend((named, item) for item in value)
        elif isinstance(value, str) and (
            named or value.lstrip()[:8].lower().startswith(("http:", "https:", "file:", "ftp:"))
        ):
            yield value


def _refuse_hosted_tools(tools: object) -> None:
    """litellm would call the servers behind MCP tools itself."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type") == "mcp":
            raise _refusal("Tools of type `mcp` are not available on this deployment.", "unsupported_parameter")


def _refusal(message: str, code: str, status: int = 400) -> RefusedRequest:
    return RefusedRequest(Failure(FailureKind.STATUS, message, status=status, code=code))
