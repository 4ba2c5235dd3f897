"""Alerts on the gateway's parts: limits, cache, engines of one's own, and its own telemetry."""

from __future__ import annotations

from typing import Final

from dashboards.alerting.values import Alert, Group, Severity, above, promql

_LIMITS: Final = "pointsman-limits"
_CACHE: Final = "pointsman-cache"
_LOCAL: Final = "pointsman-local"
_OVERVIEW: Final = "pointsman-overview"
_WAITING: Final = "sum by (job, deployment) (avg_over_time(pointsman_local_queue[10m]))"
MOST_SERIES: Final = 20_000

LIMITS: Final = Group(
    "pointsman-limits",
    "Whether limits hold.",
    (
        Alert(
            "PointsmanRateLimiterFailOpen",
            "max by (job, instance) (pointsman_limit_store_degraded) == 1",
            "5m",
            Severity.TICKET,
            "{{ $labels.instance }} decides limits by itself: the shared store is away.",
            "Each gateway enforces its own part of rates and of budgets what it had; what `state.when_down` says.",
            _LIMITS,
            "Shared store",
        ),
    ),
)
CACHE: Final = Group(
    "pointsman-cache",
    "The cache: whether it answers, and whether its error budget holds.",
    (
        Alert(
            "PointsmanCacheErrors",
            above(
                'sum by (job, cache) (rate(pointsman_cache_lookups_total{result="error"}[10m]))',
                "sum by (job, cache) (rate(pointsman_cache_lookups_total[10m]))",
                0.05,
                0.1,
            ),
            "10m",
            Severity.TICKET,
            "{{ $value | humanizePercentage }} of looks at the {{ $labels.cache }} level fail.",
            "Calls go to the models instead: slower and dearer, but answered.",
            _CACHE,
            "Looks by level",
        ),
        Alert(
            "PointsmanCacheBudgetExceeded",
            promql("""
                pointsman_cache_false_hits_observed_max > pointsman_cache_false_hit_budget
                and
                pointsman_cache_false_hits_observed_max > 1.1 * pointsman_cache_false_hits_expected
            """),
            "10m",
            Severity.TICKET,
            "Route {{ $labels.route }} may serve more wrong semantic hits than its error budget allows.",
            "By shadow checks and feedback up to {{ $value | humanizePercentage }} of the route's requests get a "
            "wrong answer from the cache. The gateway has become stricter by itself; the bar in `pointsman cache "
            "stats` shows how far. Where it stays so, measure a curve on the route's own questions with `pointsman "
            "cache calibrate`, or close its semantic level.",
            _CACHE,
            "Wrong hits per request",
        ),
        Alert(
            "PointsmanCacheUnavailable",
            "sum by (job, part) (rate(pointsman_cache_unavailable_total[5m])) > 0.1",
            "10m",
            Severity.TICKET,
            "The cache's {{ $labels.part }} cannot be asked; calls go to the models instead.",
            "The store or the embedder is down, or too slow to be waited for.",
            _CACHE,
            "Could not be asked",
        ),
        Alert(
            "PointsmanCacheEmbedderDown",
            "min by (job, instance, embedder) (pointsman_cache_embedder_up) == 0",
            "10m",
            Severity.TICKET,
            "The embedder {{ $labels.embedder }} is not there, so no other wording of a question is found.",
            "Exact and near answers are still found.",
            _CACHE,
            "Embedder",
        ),
    ),
)
LOCAL: Final = Group(
    "pointsman-local",
    "Engines of one's own.",
    (
        Alert(
            "PointsmanLocalQueueGrowing",
            promql(f"""
                {_WAITING} > sum by (job, deployment) (pointsman_local_slots)
                and
                sum by (job, deployment) (delta(pointsman_local_queue[10m])) >= 0
            """),
            "10m",
            Severity.TICKET,
            "{{ $value | humanize }} calls wait for {{ $labels.deployment }}, more than it can compute at once.",
            "The line does not get shorter: callers ask for more than the engine can do.",
            _LOCAL,
            "Slots and line",
        ),
        Alert(
            "PointsmanLocalKvFull",
            promql("""
                max by (job, deployment) (pointsman_local_kv_used_ratio) > 0.95
                and
                sum by (job, deployment) (pointsman_local_queue) > 0
            """),
            "10m",
            Severity.TICKET,
            "The KV cache of {{ $labels.deployment }} is {{ $value | humanizePercentage }} full while calls wait.",
            "Prompts are longer than the engine has memory for all of its slots.",
            _LOCAL,
            "KV cache used",
        ),
        Alert(
            "PointsmanLocalEngineDown",
            "max by (job, deployment) (pointsman_local_up) == 0",
            "5m",
            Severity.TICKET,
            "The engine of {{ $labels.deployment }} takes no calls.",
            "Its model is not loaded: it is loading, it has died, or an engine elsewhere cannot be reached.",
            _LOCAL,
            "Engine",
        ),
    ),
)
TELEMETRY: Final = Group(
    "pointsman-telemetry",
    "Whether the numbers can be trusted.",
    (
        Alert(
            "PointsmanSeriesBudgetExceeded",
            promql(f"""
                max by (job, instance) (
                  scrape_samples_scraped and on (job, instance) pointsman_build_info
                ) > {MOST_SERIES}
                or
                sum by (job, instance) (increase(pointsman_metric_series_rejected_total[15m])) > 0
            """),
            "15m",
            Severity.TICKET,
            "{{ $labels.instance }} tells more series than it should, or folds new ones into `__other__`.",
            "Some label has far more values than was thought; the overview lists the metrics beyond their cap.",
            _OVERVIEW,
            "Series",
        ),
        Alert(
            "PointsmanTelemetryDropped",
            "sum by (job, instance, signal) (rate(pointsman_telemetry_dropped_total[5m])) > 0",
            "15m",
            Severity.TICKET,
            "{{ $labels.instance }} throws {{ $labels.signal }} away: {{ $value | humanize }} per second.",
            "Who should take them is away or too slow. Calls, costs and the ledger are not touched.",
            _OVERVIEW,
            "Telemetry dropped",
        ),
    ),
)
