"""Brings litellm in on our terms: no network, no telemetry, no callbacks, nothing read from the working directory.

litellm reads its switches from the environment while it is imported, so they are set before; what it offers as
attributes is set after. It takes two seconds and some 160 MB, which only a configuration that names it pays.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from gateway.errors import MissingExtra, StartError
from gateway.extras import LITELLM, remedy

MALICIOUS_VERSIONS: Final = frozenset({"1.82.7", "1.82.8"})
"""Uploaded on 2026-03-24 with a stolen token; both send the environment and credentials away (MAL-2026-2144)."""

_SWITCHES: Final = {
    "LITELLM_MODE": "PRODUCTION",  # otherwise it loads .env from the working directory
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it fetches these three from GitHub
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
}
_CALLBACK_LISTS: Final = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "service_callback",
    "_async_input_callback",
    "_async_success_callback",
    "_async_failure_callback",
)
_ATTRIBUTES: Final[dict[str, Any]] = {
    "telemetry": False,
    "suppress_debug_info": True,
    "set_verbose": False,
    "drop_params": False,
    "modify_params": False,
    "num_retries": 0,
    "cache": None,
    "disable_token_counter": True,  # what a provider left out stays 0, and is counted by us and marked
    "disable_hf_tokenizer_download": True,
    "disable_aiohttp_trust_env": True,
    "user_url_validation": True,
    "api_key": None,
    "api_base": None,
}
# What its pydantic models trip over at run time too; litellm silences both itself, by the same words.
_EXPECTED_WARNINGS: Final = (
    r".*Accessing the '\w+' attribute on the instance is deprecated",
    r".*using the `ReadOnly` qualifier",
)
# Its loggers print prompts and provider errors, keys included, to stderr.
_LOGGERS: Final = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")


def load_litellm() -> Any:  # noqa: ANN401 - litellm is untyped and may be absent
    """The litellm module, silenced. Blocks for seconds at the first call. Raises `StartError`."""
    _require_sound_version()
    os.environ.update(_SWITCHES)
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        try:
            litellm = importlib.import_module("litellm")
        except ImportError as error:
            raise StartError(f"litellm is installed but does not import: {error.name or error}") from error
    _silence(litellm)
    return litellm


def load_bedrock() -> None:
    """Read what litellm would read from disk at Bedrock's first stream, on the event loop."""
    with contextlib.suppress(ImportError):
        common = importlib.import_module("litellm.llms.bedrock.common_utils")
        common.get_bedrock_response_stream_shape()


def _require_sound_version() -> None:
    try:
        found = version("litellm")
    except PackageNotFoundError:
        raise MissingExtra(remedy(LITELLM)) from None
    if found in MALICIOUS_VERSIONS:
        raise StartError(
            f"litellm {found} is malicious (MAL-2026-2144): it steals credentials as soon as Python starts. "
            "Treat this machine's secrets as stolen, then install another version."
        )


def _silence(litellm: Any) -> None:  # noqa: ANN401 - as above
    for name, value in _ATTRIBUTES.items():
        setattr(litellm, name, value)
    for name in _CALLBACK_LISTS:
        setattr(litellm, name, [])
    for logger in _LOGGERS:
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
