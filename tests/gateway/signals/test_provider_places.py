from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from gateway.signals.provider_places import Place, place_of
from policies.vocabulary import Deployment
from tests.gateway.calls import answered

if TYPE_CHECKING:
    from gateway.generation import Generation


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "place"),
    [
        ("openai", "https://api.openai.com/v1", "gpt-4o", Place("openai", "api.openai.com", 443)),
        ("openai", "https://x.openai.azure.com/openai/v1", "m", Place("azure.ai.openai", "x.openai.azure.com", 443)),
        ("openai", "https://api.anthropic.com/v1", "claude", Place("anthropic", "api.anthropic.com", 443)),
        ("openai", "https://api.x.ai/v1", "grok", Place("x_ai", "api.x.ai", 443)),
        ("openai", "http://10.0.0.7:8000/v1", "llama", Place("openai", "10.0.0.7", 8000)),
        ("openai", "http://[::1]/v1", "llama", Place("openai", "::1", 80)),
        ("litellm", None, "bedrock/anthropic.claude", Place("aws.bedrock")),
        ("litellm", None, "gemini/gemini-2.5-pro", Place("gcp.gemini")),
        ("litellm", "http://10.0.0.7:8000", "hosted_vllm/llama", Place("vllm", "10.0.0.7", 8000)),
        ("llama_cpp", None, "llama-8b", Place("llama_cpp", is_here=True)),
        ("llama_cpp", "http://gpu-1:9000/v1", "llama-8b", Place("llama_cpp", "gpu-1", 9000)),
    ],
)
def test_who_is_behind_a_deployment(kind: str, base_url: str | None, model: str, place: Place) -> None:
    call = answered()
    providers = {"mine": SimpleNamespace(base_url=base_url)}
    call.generation = cast("Generation", SimpleNamespace(config=SimpleNamespace(providers=providers)))
    assert place_of(call, Deployment("d", "mine", kind, model)) == place


def test_a_provider_that_a_policy_does_not_have_any_more_is_known_by_its_kind() -> None:
    call = answered()
    call.generation = cast("Generation", SimpleNamespace(config=SimpleNamespace(providers={})))
    assert place_of(call, Deployment("d", "gone", "openai", "gpt-4o")) == Place("openai")
