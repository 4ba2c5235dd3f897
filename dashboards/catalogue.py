"""The metrics that boards and rules may name: the families of `gateway.signals`, and what a scrape itself adds."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING, Final

import gateway.signals
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


@functools.cache
def families() -> Mapping[str, Family]:
    """Every family by name."""
    found = {family.name: family for family in (*_BY_PROMETHEUS, *_PENDING)}
    for module in pkgutil.iter_modules(gateway.signals.__path__):
        if module.name.endswith("telemetry"):
            names = vars(importlib.import_module(f"gateway.signals.{module.name}"))
            found |= {family.name: family for family in names.values() if isinstance(family, Family)}
    return found


def family_of(series: str) -> Family | None:
    """The family that a series name belongs to: a histogram's has three kinds of series."""
    known = families()
    if series in known:
        return known[series]
    for suffix in _SUFFIXES:
        family = known.get(series.removesuffix(suffix))
        if series.endswith(suffix) and family is not None and family.kind is Kind.HISTOGRAM:
            return family
    return None


def labels_of(series: str) -> frozenset[str] | None:
    """The labels that a series has in Prometheus; None for one that nobody tells."""
    family = family_of(series)
    if family is None:
        return None
    le = ("le",) if series.endswith("_bucket") else ()
    return frozenset((*family.labels, *OF_TARGETS, *le))


def _g(name: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, "", labels)


def _c(name: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, "", labels)


def _h(name: str, *labels: str) -> Family:
    return Family(name, Kind.HISTOGRAM, "", labels)


_PENDING: Final = (
    _g("pointsman_queue_depth", "deployment"),
    _g("pointsman_key_up", "deployment"),
    _c("pointsman_cache_lookups_total", "cache", "result"),
    _c("pointsman_cache_saved_usd_total", "cache", "model"),
    _h("pointsman_cache_lookup_seconds", "cache"),
    _c("pointsman_ratelimit_decisions_total", "scope", "limit", "decision"),
    _h("pointsman_ratelimit_check_seconds", "scope", "limit"),
    _g("pointsman_budget_limit_usd", "scope", "id"),
    _g("pointsman_budget_spent_usd", "scope", "id"),
    _g("pointsman_budget_reserved_usd", "scope", "id"),
    _c("pointsman_local_gpu_seconds_total", "deployment", "state"),
    _c("pointsman_local_gpu_cost_usd_total", "deployment", "state"),
    _g("pointsman_local_slots", "deployment"),
    _g("pointsman_local_slots_busy", "deployment"),
    _g("pointsman_local_kv_used_ratio", "deployment"),
    _g("pointsman_local_queue", "deployment"),
    _g("pointsman_worker_up", "worker"),
    _g("pointsman_price_table_age_seconds"),
    _g("pointsman_spend_capture_ratio", "provider"),
    _g("pointsman_provider_invoice_usd", "provider"),
    _c("pointsman_finish_reasons_total", "provider", "deployment", "model", "reason"),
    _g("pointsman_metric_series"),
    _g("pointsman_metric_series_limit"),
    _g("pointsman_open_streams"),
)
