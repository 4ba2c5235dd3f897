"""The recorded provider replies beside the checkout, and which part of the gateway reads each."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any

import pytest

from policies.vocabulary import Endpoint
from tests.conftest import SHARED

Recording = dict[str, Any]

WIRE = SHARED / "wire"
RECORDINGS: list[Recording] = json.loads((WIRE / "index.json").read_bytes()) if (WIRE / "index.json").is_file() else []
needs_recordings = pytest.mark.skipif(not RECORDINGS, reason="shared recordings are not beside this checkout")

# --- what the OpenAI adapter reads ---

FAMILIES = {
    "openai_chat": Endpoint.CHAT,
    "openai_completions": Endpoint.COMPLETIONS,
    "openai_responses": Endpoint.RESPONSES,
    "embeddings": Endpoint.EMBEDDINGS,
}
# Embeddings of Bedrock, Cohere and Gemini are recorded in their own formats; one chat was recorded as a completion.
FOREIGN = ("/invoke", ":batchEmbedContents", "/v2/embed")
IN_OPENAIS_FORMAT = [
    each for each in RECORDINGS if each["family"] in FAMILIES and not each["endpoint"].endswith(FOREIGN)
]

# --- what the litellm driver reads ---

# Vertex AI answers as Gemini does, but signing in there asks Google for a token, which no test may. llama-server
# answers in Anthropic's format too.
READ_AS = {
    ("anthropic", "anthropic"): "anthropic",
    ("bedrock", "bedrock_converse"): "bedrock",
    ("bedrock", "embeddings"): "bedrock",
    ("cohere", "cohere_v2"): "cohere",
    ("cohere", "embeddings"): "cohere",
    ("gemini", "embeddings"): "gemini",
    ("gemini", "gemini"): "gemini",
    ("llama-server", "anthropic"): "anthropic",
    ("vertex", "gemini"): "gemini",
}


def _through_litellm(*, embeddings: bool, status: int) -> list[Recording]:
    return [
        each
        for each in RECORDINGS
        if (each["provider"], each["family"]) in READ_AS
        and (each["family"] == "embeddings") is embeddings
        and each["status"] == status
    ]


ANSWERS = _through_litellm(embeddings=False, status=200)
EMBEDDINGS = _through_litellm(embeddings=True, status=200)
ERRORS = _through_litellm(embeddings=False, status=404)

# --- what nothing reads, and why ---

UNREAD: dict[str, str] = {}


def cases(chosen: list[Recording]) -> list[Any]:
    """One parameter each; one that is skipped where the recordings are absent."""
    return [pytest.param(each, id=each["id"]) for each in chosen] or [pytest.param(None, id="absent")]


def recording(name: str) -> Recording:
    return next(each for each in RECORDINGS if each["id"].startswith(name))


def read_as(each: Recording) -> str:
    """The provider as whose answer the litellm driver is given it."""
    return READ_AS[each["provider"], each["family"]]


def embedding_model(each: Recording) -> str | None:
    """The model as the request's address names it, where the recording does not."""
    named = re.search(r"/models?/([^/]+?)(?::batchEmbed|/invoke)", urllib.parse.unquote(each["endpoint"]))
    return each["model"] or (named and named[1])


def expected_finish(each: Recording) -> str:
    """Why it ended, in OpenAI's words. The recordings know none for a prompt that was blocked before any answer."""
    return each["expect"]["openai_finish"] or {"MODEL_ARMOR": "content_filter"}[each["expect"]["finish"]]


def expected_usage(each: Recording) -> tuple[int, int] | None:
    """Inclusive input and output; recordings list what the provider's own words say."""
    usage, family = each["expect"]["usage"], each["family"]
    if usage["input"] is None:
        return None
    counted_apart = family in ("anthropic", "bedrock_converse")
    cache = (usage["cached"] or 0) + (usage["cache_write"] or 0) if counted_apart else 0
    reasoning = (usage["reasoning"] or 0) if family == "gemini" else 0
    return usage["input"] + cache, (usage["output"] or 0) + reasoning


# Rounds that the provider ran on its own side: the recordings count the last one or leave the tools' prompts out.
OTHER_COUNTS = ("anthropic--test-anthropic-compaction", "gemini--test-google-model-web-fetch-tool")
