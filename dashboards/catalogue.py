"""The metrics that boards and rules may name: the families of `gateway.signals`, and what a scrape itself adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.catalogue import FAMILIES
from gateway.signals.telemetry import Family, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

OF_TARGETS: Final = ("job", "instance")
_SUFFIXES: Final = ("_bucket", "_count", "_sum")
_BY_PROMETHEUS: Final = (
    Family("up", Kind.GAUGE, "1 where the last scrape of a target came through."),
    Family("scrape_samples_scraped", Kind.GAUGE, "Series in the last scrape of a target."),
    Family("scrape_duration_seconds", Kind.GAUGE, "How long the last scrape of a target took."),
    Family("ALERTS", Kind.GAUGE, "1 for each alert that waits or fires.", ("alertname", "alertstate", "severity")),
)
_OF_ENGINES: Final = (
    Family("vllm:num_requests_running", Kind.GAUGE, "Calls that vLLM computes.", ("deployment",)),
    Family("vllm:num_requests_waiting", Kind.GAUGE, "Calls that wait in vLLM.", ("deployment",)),
    Family("vllm:num_preemptions_total", Kind.COUNTER, "Calls that lost their place in vLLM.", ("deployment",)),
    Family("vllm:kv_cache_usage_perc", Kind.GAUGE, "Share of vLLM's KV cache in use.", ("deployment",)),
    Family("llamacpp:requests_processing", Kind.GAUGE, "Calls that llama-server computes.", ("deployment",)),
    Family("llamacpp:requests_deferred", Kind.GAUGE, "Calls that wait in llama-server.", ("deployment",)),
    Family("llamacpp:tokens_predicted_total", Kind.COUNTER, "Tokens that llama-server wrote.", ("deployment",)),
)
"""Of engines that Prometheus scrapes itself; `deployment` is a label that its configuration gives them."""


KNOWN: Final[Mapping[str, Family]] = FAMILIES | {family.name: family for family in (*_BY_PROMETHEUS, *_OF_ENGINES)}


def family_of(series: str) -> Family | None:
    """The family that a series name belongs to: a histogram's has three kinds of series."""
    if series in KNOWN:
        return KNOWN[series]
    for suffix in _SUFFIXES:
        family = KNOWN.get(series.removesuffix(suffix))
        if series.endswith(suffix) and family is not None and family.kind is Kind.HISTOGRAM:
            return family
    return None


def is_of_engines(series: str) -> bool:
    """Whether an engine tells it, and not the gateway: then it is of another job."""
    return any(series == family.name for family in _OF_ENGINES)


def labels_of(series: str) -> frozenset[str] | None:
    """The labels that a series has in Prometheus; None for one that nobody tells."""
    family = family_of(series)
    if family is None:
        return None
    le = ("le",) if series.endswith("_bucket") else ()
    return frozenset((*family.labels, *OF_TARGETS, *le))
