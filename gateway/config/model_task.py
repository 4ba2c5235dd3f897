"""What a llama_cpp provider's model is for, and so which endpoints its deployments have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.model_file import model_file
from gateway.local.reading.gguf import read_model
from gateway.local.reading.gguf_reading import BrokenGguf
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.llama_cpp import LlamaCppProvider

ENDPOINTS: Final[Mapping[str, frozenset[Endpoint]]] = {
    "text": frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS}),
    "embed": frozenset({Endpoint.EMBEDDINGS}),
    "rerank": frozenset(endpoint for endpoint in Endpoint if endpoint.value == "rerank"),
}
ELSEWHERE: Final = frozenset[Endpoint]().union(*ENDPOINTS.values())
"""What an engine elsewhere may have; which model it runs is known there."""


def task_of(provider: LlamaCppProvider) -> str:
    """What the policy says, else what the model's file says, else text: whoever loads it will say what is wrong."""
    if provider.task != "auto":
        return provider.task
    try:
        return read_model(model_file(provider.model_path)).task
    except (BrokenGguf, OSError):
        return "text"


def endpoints_of(provider: LlamaCppProvider) -> frozenset[Endpoint]:
    return ELSEWHERE if provider.is_elsewhere else ENDPOINTS[task_of(provider)]
