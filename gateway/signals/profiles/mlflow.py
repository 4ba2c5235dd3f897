"""MLflow's own names: it shows the cost that `mlflow.llm.cost` says, and else one from its own list of prices, or none.

Its attributes hold JSON, so a text stands in quotes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.span_values import Kind, json_text, system_message, usd
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from gateway.signals.span_values import Span, Told, Value

_TYPES: Final = {
    Endpoint.CHAT: "CHAT_MODEL",
    Endpoint.RESPONSES: "CHAT_MODEL",
    Endpoint.EMBEDDINGS: "EMBEDDING",
    Endpoint.RERANK: "RERANKER",
}


def mlflow(span: Span) -> Span:
    """The same span with MLflow's names added."""
    told = span.told
    if told is None:
        of_span: dict[str, Value] = {"mlflow.spanType": json_text("CHAIN" if span.kind is Kind.SERVER else "UNKNOWN")}
        return span._replace(attributes=span.attributes | of_span)
    return span._replace(attributes=span.attributes | _of_attempt(told))


def _of_attempt(told: Told) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "mlflow.spanType": json_text(_TYPES.get(told.endpoint, "LLM")),
        "mlflow.llm.model": json_text(told.model),
        "mlflow.llm.provider": json_text(told.provider),
    }
    usage, cost = told.usage, told.cost
    if told.shows_usage and usage is not None:
        tokens = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        if usage.cached_input_tokens:
            tokens["cache_read_input_tokens"] = usage.cached_input_tokens
        if usage.cache_write_tokens:
            tokens["cache_creation_input_tokens"] = usage.cache_write_tokens
        attributes["mlflow.chat.tokenUsage"] = json_text(tokens)
    if told.shows_usage and cost is not None:
        # All that is not for output counts as input, so that the two come to the total.
        whole = {
            "input_cost": usd(cost.total_nanousd - cost.output_nanousd),
            "output_cost": usd(cost.output_nanousd),
            "total_cost": usd(cost.total_nanousd),
        }
        attributes["mlflow.llm.cost"] = json_text(whole)
    if told.shown is not None:
        attributes["mlflow.spanInputs"] = json_text({"messages": [*system_message(told.shown), *told.shown.asked]})
        attributes["mlflow.spanOutputs"] = json_text({"messages": told.shown.answered})
    return attributes
