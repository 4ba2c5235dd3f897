"""Langfuse's own names, which go before all others there: https://langfuse.com/integrations/native/opentelemetry.

It adds up whatever kinds of tokens it is told, so they are taken apart here; and it takes every `gen_ai.usage.*` for
one more of them, so these do not go there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.span_values import Kind, json_text, system_message, usd
from policies.usage_parts import disjoint
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from gateway.signals.span_values import Span, Told, Value
    from policies.usage import Cost, Usage

_COUNTED: Final = "gen_ai.usage."


def langfuse(span: Span) -> Span:
    """The same span with Langfuse's names added, and without OpenTelemetry's for usage."""
    attributes = {name: value for name, value in span.attributes.items() if not name.startswith(_COUNTED)}
    if span.told is None:
        attributes["langfuse.observation.type"] = "span"
        if span.kind is Kind.SERVER and span.parent_id is None:
            attributes["langfuse.trace.name"] = span.name
    else:
        attributes |= _of_attempt(span.told)
    if span.error is not None:
        attributes["langfuse.observation.level"] = "ERROR"
        attributes["langfuse.observation.status_message"] = span.error
    return span._replace(attributes=attributes)


def _of_attempt(told: Told) -> dict[str, Value]:
    is_embedding = told.endpoint is Endpoint.EMBEDDINGS
    attributes: dict[str, Value] = {
        "langfuse.observation.type": "embedding" if is_embedding else "generation",
        "langfuse.observation.model.name": told.model,
    }
    if told.shows_usage and told.usage is not None:
        attributes["langfuse.observation.usage_details"] = json_text(usage_details(told.usage))
    if told.shows_usage and told.cost is not None:
        attributes["langfuse.observation.cost_details"] = json_text(cost_details(told.cost))
    if told.shown is not None:
        attributes["langfuse.observation.input"] = json_text([*system_message(told.shown), *told.shown.asked])
        attributes["langfuse.observation.output"] = json_text(told.shown.answered)
    return attributes


def usage_details(usage: Usage) -> dict[str, int]:
    """Each token in one bucket, so that they come to the total. Langfuse's built-in names for the usual ones."""
    input_tokens, cached_tokens, written_tokens, output_tokens = disjoint(usage)
    reasoning_tokens = min(max(0, usage.reasoning_tokens), output_tokens)
    parts = {
        "input": input_tokens,
        "input_cached_tokens": cached_tokens,
        "input_cache_creation": written_tokens,
        "output": output_tokens - reasoning_tokens,
        "output_reasoning_tokens": reasoning_tokens,
    }
    used = {name: tokens for name, tokens in parts.items() if tokens or name in ("input", "output")}
    return used | {"total": sum(used.values())}


def cost_details(cost: Cost) -> dict[str, float]:
    parts = {
        "input": cost.input_nanousd,
        "input_cached_tokens": cost.cached_input_nanousd,
        "input_cache_creation": cost.cache_write_nanousd,
        "output": cost.output_nanousd,
        "request": cost.request_nanousd,
        "tool": cost.tool_nanousd,
    }
    used = {name: usd(nanousd) for name, nanousd in parts.items() if nanousd or name in ("input", "output")}
    return used | {"total": usd(cost.total_nanousd)}
