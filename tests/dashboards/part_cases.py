"""Limits, cache, engines and telemetry: each alert where it must fire, and where it must not."""

from __future__ import annotations

from tests.dashboards.alert_cases import AT, JOB, Case, fires, silent

ENGINE = {"deployment": "d"}
ROUTE = {"instance": "a", "route": "r"}


def looks(error: str, hit: str) -> dict[str, str]:
    name = f'pointsman_cache_lookups_total{{{AT},cache="semantic",result='
    return {f'{name}"error"}}': error, f'{name}"hit"}}': hit}


def wrong(observed: str, expected: str) -> dict[str, str]:
    told = {"false_hits_observed_max": observed, "false_hits_expected": expected, "false_hit_budget": "0.01x60"}
    return {f'pointsman_cache_{name}{{{AT},route="r"}}': values for name, values in told.items()}


def line(waiting: str, used: str = "0.5x60", slots: str = "4x60") -> dict[str, str]:
    told = {"queue": waiting, "kv_used_ratio": used, "slots": slots}
    return {f'pointsman_local_{name}{{{AT},deployment="d"}}': values for name, values in told.items()}


def samples(count: str) -> dict[str, str]:
    return {f"scrape_samples_scraped{{{AT}}}": count, f"pointsman_build_info{{{AT}}}": "1x60"}


CASES: tuple[Case, ...] = (
    fires(
        "PointsmanRateLimiterFailOpen",
        "Redis is away",
        {f"pointsman_limit_store_degraded{{{AT}}}": "0x5 1x30"},
        "20m",
        {"instance": "a"},
    ),
    silent(
        "PointsmanRateLimiterFailOpen",
        "Redis was away for a minute",
        {f"pointsman_limit_store_degraded{{{AT}}}": "0x5 1 0x30"},
        "20m",
    ),
    silent("PointsmanRateLimiterFailOpen", "limits are kept in the process", {}, "20m"),
    fires("PointsmanCacheErrors", "half of the looks fail", looks("0+30x60", "0+30x60"), "40m", {"cache": "semantic"}),
    silent("PointsmanCacheErrors", "half of very few fail", looks("0+1x60", "0+1x60"), "40m"),
    silent("PointsmanCacheErrors", "none fails", looks("0x60", "0+30x60"), "40m"),
    fires(
        "PointsmanCacheBudgetExceeded", "labels find twice what is allowed", wrong("0.02x60", "0.008x60"), "20m", ROUTE
    ),
    silent(
        "PointsmanCacheBudgetExceeded",
        "first hits on credit: no worse than reckoned",
        wrong("0.02x60", "0.02x60"),
        "20m",
    ),
    silent("PointsmanCacheBudgetExceeded", "no route has a semantic level", {}, "20m"),
    fires(
        "PointsmanCacheUnavailable",
        "the store is down",
        {f'pointsman_cache_unavailable_total{{{AT},part="store"}}': "0+30x60"},
        "30m",
        {"part": "store"},
    ),
    silent(
        "PointsmanCacheUnavailable",
        "it was slow once",
        {f'pointsman_cache_unavailable_total{{{AT},part="store"}}': "0x20 3x40"},
        "30m",
    ),
    fires(
        "PointsmanCacheEmbedderDown",
        "the model cannot be loaded",
        {f'pointsman_cache_embedder_up{{{AT},embedder="minilm"}}': "0x60"},
        "20m",
        {"instance": "a", "embedder": "minilm"},
    ),
    silent(
        "PointsmanCacheEmbedderDown",
        "it is there",
        {f'pointsman_cache_embedder_up{{{AT},embedder="minilm"}}': "1x60"},
        "20m",
    ),
    fires("PointsmanLocalQueueGrowing", "ten wait for four slots", line("0+1x60"), "40m", ENGINE),
    silent("PointsmanLocalQueueGrowing", "a crowd that goes down", line("60-1x60"), "40m"),
    silent("PointsmanLocalQueueGrowing", "two wait for four slots", line("2x60"), "40m"),
    fires("PointsmanLocalKvFull", "full, and calls wait", line("3x60", "0.99x60"), "20m", ENGINE),
    silent("PointsmanLocalKvFull", "full of what may be forgotten, and nobody waits", line("0x60", "0.99x60"), "20m"),
    fires(
        "PointsmanLocalEngineDown",
        "its worker died and does not come back",
        {f'pointsman_local_up{{{AT},deployment="d"}}': "1x5 0x40"},
        "20m",
        ENGINE,
    ),
    silent(
        "PointsmanLocalEngineDown",
        "a load takes two minutes",
        {f'pointsman_local_up{{{AT},deployment="d"}}': "0x2 1x40"},
        "20m",
    ),
    silent(
        "PointsmanLocalEngineDown",
        "one of two gateways has it",
        {
            f'pointsman_local_up{{{AT},deployment="d"}}': "0x40",
            f'pointsman_local_up{{{JOB},instance="b",deployment="d"}}': "1x40",
        },
        "20m",
    ),
    fires("PointsmanSeriesBudgetExceeded", "a scrape is far too large", samples("25000x60"), "30m", {"instance": "a"}),
    fires(
        "PointsmanSeriesBudgetExceeded",
        "a metric is beyond its cap",
        {f'pointsman_metric_series_rejected_total{{{AT},metric="m"}}': "0x5 1+1x60"},
        "40m",
        {"instance": "a"},
    ),
    silent("PointsmanSeriesBudgetExceeded", "a scrape of the usual size", samples("4000x60"), "30m"),
    silent(
        "PointsmanSeriesBudgetExceeded",
        "another target is large",
        {'scrape_samples_scraped{job="node",instance="n"}': "90000x60"},
        "30m",
    ),
    fires(
        "PointsmanTelemetryDropped",
        "the collector is away",
        {f'pointsman_telemetry_dropped_total{{{AT},signal="traces"}}': "0+30x60"},
        "30m",
        {"instance": "a", "signal": "traces"},
    ),
    silent(
        "PointsmanTelemetryDropped",
        "a few were dropped at a restart of it",
        {f'pointsman_telemetry_dropped_total{{{AT},signal="traces"}}': "0x5 40x60"},
        "30m",
    ),
)
