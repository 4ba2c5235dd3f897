"""Members that a caller must not send, since the upstream would act on them and the gateway would not have seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adapters import openai_bodies as bodies
from adapters.schema import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

# Fields by which libraries let a *program* choose where a call goes and with which credential. A caller never may, and
# an upstream behind a gateway of its own must not be told either.
OVERRIDES: Final = frozenset(
    (
        "api_base", "api_key", "api_type", "api_version", "azure_ad_token", "azure_endpoint", "base_url",
        "aws_access_key_id", "aws_bedrock_runtime_endpoint", "aws_region_name", "aws_role_name",
        "aws_secret_access_key", "aws_session_token", "client", "context_window_fallback_dict",
        "custom_llm_provider", "default_headers",
        "extra_headers", "extra_query", "fallbacks", "force_timeout", "headers", "http_client", "litellm_params",
        "max_retries", "mock_response", "mock_timeout", "mock_tool_calls", "model_list", "num_retries", "organization",
        "proxies", "proxy", "request_timeout", "ssl_verify", "timeout", "user_config", "vertex_credentials",
        "vertex_location", "vertex_project",
    )
)  # fmt: skip
# llama-server's own names, which win over OpenAI's where both are sent: a limit would be checked against the wrong one.
SECOND_NAMES: Final = {"n_predict": "max_tokens", "n_cmpl": "n"}
_SHAPES: Final = (bodies.ChatBody, bodies.CompletionsBody, bodies.EmbeddingsBody, bodies.ResponsesBody)
_PLAIN: Final = frozenset().union(*(shape.__struct_fields__ for shape in _SHAPES)) - OVERRIDES
_ELSEWHERE: Final = frozenset(("conversation", "web_search_options", "chat_template", "plugins", "prompt_embeds"))
MEANT: Final = _PLAIN | _ELSEWHERE | OVERRIDES | SECOND_NAMES.keys()
"""Names that mean something here, and so may mean something to an upstream in any case."""


def refuse_smuggled(members: Mapping[str, object]) -> None:
    """Raises `InvalidRequest` for a member that must not go on."""
    if members.keys() <= _PLAIN:
        return
    for name in members:
        if name in OVERRIDES:
            raise InvalidRequest(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
        if name in SECOND_NAMES:
            message = f"Send '{SECOND_NAMES[name]}' instead of '{name}'."
            raise InvalidRequest(message, name, "unsupported_parameter")
        # Servers written in Go match names in any case, with the folding of Unicode, and take the last one.
        if name not in MEANT and (meant := name.casefold()) in MEANT:
            message = f"Unknown parameter: '{name}'. Did you mean '{meant}'?"
            raise InvalidRequest(message, name, "unknown_parameter")
