"""OpenInference, as Arize and Phoenix read it: https://github.com/Arize-ai/openinference, spec/semantic_conventions.md.

Phoenix works costs out by itself and takes no notice of `llm.cost.*`; Arize and others show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.profiles.shown_messages import shown_to_openinference
from gateway.signals.span_values import Kind, usd
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from gateway.signals.span_values import Span, Told, Value
    from policies.usage import Cost, Usage

_KINDS: Final = {Endpoint.EMBEDDINGS: "EMBEDDING", Endpoint.RERANK: "RERANKER"}
_MODEL: Final = {Endpoint.EMBEDDINGS: "embedding.model_name", Endpoint.RERANK: "reranker.model_name"}


def openinference(span: Span) -> Span:
    """The same span with OpenInference's names added."""
    told = span.told
    if told is None:
        kind = "CHAIN" if span.kind is Kind.SERVER else "UNKNOWN"
        return span._replace(attributes=span.attributes | {"openinference.span.kind": kind})
    return span._replace(attributes=span.attributes | _of_attempt(told))


def _of_attempt(told: Told) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "openinference.span.kind": _KINDS.get(told.endpoint, "LLM"),
        _MODEL.get(told.endpoint, "llm.model_name"): told.model,
        "llm.provider": told.provider,
    }
    if told.shows_usage and told.usage is not None:
        attributes |= _tokens(told.usage)
    if told.shows_usage and told.cost is not None:
        attributes |= _cost(told.cost)
    if told.shown is not None:
        attributes |= shown_to_openinference(told.shown)
    return attributes


def _tokens(usage: Usage) -> dict[str, Value]:
    """Totals hold their details, as OpenInference counts."""
    details = usage.details
    parts = {
        "prompt_details.cache_read": usage.cached_input_tokens,
        "prompt_details.cache_write": usage.cache_write_tokens,
        "prompt_details.audio": 0 if details is None else details.input_audio_tokens,
        "completion_details.reasoning": usage.reasoning_tokens,
        "completion_details.audio": 0 if details is None else details.output_audio_tokens,
    }
    return {
        "llm.token_count.prompt": usage.input_tokens,
        "llm.token_count.completion": usage.output_tokens,
        "llm.token_count.total": usage.input_tokens + usage.output_tokens,
        **{f"llm.token_count.{name}": tokens for name, tokens in parts.items() if tokens},
    }


def _cost(cost: Cost) -> dict[str, Value]:
    """What is paid for the request as such counts with its prompt; `llm.cost` knows nothing else to put it under."""
    prompt = cost.input_nanousd + cost.cached_input_nanousd + cost.cache_write_nanousd
    other = cost.request_nanousd + cost.tool_nanousd
    parts = {
        "prompt_details.input": cost.input_nanousd,
        "prompt_details.cache_read": cost.cached_input_nanousd,
        "prompt_details.cache_write": cost.cache_write_nanousd,
        "completion_details.output": cost.output_nanousd,
    }
    return {
        "llm.cost.prompt": usd(prompt + other),
        "llm.cost.completion": usd(cost.output_nanousd),
        "llm.cost.total": usd(cost.total_nanousd),
        **{f"llm.cost.{name}": usd(nanousd) for name, nanousd in parts.items() if nanousd},
    }
