"""The overview's row on speed: what callers wait for, and how much of it is the gateway's."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import quantile, rate
from dashboards.building.values import (
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Override,
    Panel,
    Query,
    Row,
    Show,
    board_link,
    up_to,
)
from dashboards.slo import NOT_COUNTED

_TO_MODEL: Final = board_link("pointsman-models", "This model's deployments", "var-model=${__field.labels.model}")
_ADMITTED: Final = f'pointsman_requests_total{{*,outcome!~"{NOT_COUNTED}"}}'
_QUANTILES: Final = (Override(".*p50", GREEN), Override(".*p95", YELLOW), Override(".*p99", RED))

ROWS: Final = (
    Row(
        "What do callers wait for?",
        (
            Panel(
                Show.HEATMAP,
                "Request duration",
                "How long requests take, from their arrival to the last byte. A second band above the usual one is "
                "a slow deployment, or a time-out that is waited for.",
                "s",
                (
                    Query(
                        "sum by (le) (increase(pointsman_request_duration_seconds_bucket{**}[$__rate_interval]))",
                        "{{le}}",
                    ),
                ),
                width=12,
                height=9,
            ),
            Panel(
                Show.GRAPH,
                "Request duration, quantiles",
                "Half, 95 and 99 of 100 requests end within these times. Points are single requests: a click opens "
                "the trace.",
                "s",
                tuple(
                    Query(quantile(share, "pointsman_request_duration_seconds"), name, exemplars=name == "p99")
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
                width=12,
                height=9,
                overrides=_QUANTILES,
            ),
            Panel(
                Show.GRAPH,
                "Time upstream by model",
                "Half, 95 and 99 of 100 attempts at a model end within these times; what the gateway adds is not in "
                "here.",
                "s",
                tuple(
                    Query(quantile(share, "pointsman_upstream_duration_seconds", "model"), f"{{{{model}}}} {name}")
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
                links=(_TO_MODEL,),
            ),
            Panel(
                Show.GRAPH,
                "Time to first token by model, p95",
                "95 of 100 streams of a model begin within this time. The line is what is promised for 99 of 100.",
                "s",
                (Query(quantile(0.95, "pointsman_time_to_first_token_seconds", "model"), "{{model}}", exemplars=True),),
                steps=up_to((3.2, RED)),
                steps_shown=True,
                links=(_TO_MODEL,),
            ),
            Panel(
                Show.GRAPH,
                "Gateway overhead",
                "What the gateway itself adds: keys, limits, choice, translation. The line at 20 ms is what is "
                "promised for 99 of 100 requests.",
                "s",
                (
                    Query(quantile(0.5, "pointsman_overhead_seconds"), "p50"),
                    Query(quantile(0.99, "pointsman_overhead_seconds"), "p99"),
                ),
                steps=up_to((0.02, RED)),
                steps_shown=True,
                overrides=_QUANTILES,
            ),
        ),
    ),
    Row(
        "How hard does the gateway try?",
        (
            Panel(
                Show.GRAPH,
                "Attempts per request",
                "Attempts upstream for each request that was let through. 1 is a calm day; below 1 the cache "
                "answers; well above 1 callers are served by retries and fallbacks, at a price. What caches ask by "
                "themselves is among the attempts.",
                "none",
                (
                    Query(
                        f"{rate('pointsman_upstream_attempts_total{*}')} / ({rate(_ADMITTED)} > 0)",
                        "attempts per request",
                    ),
                ),
                decimals=2,
            ),
            Panel(
                Show.GRAPH,
                "Retries, fallbacks, hedges, resumes",
                "Second tries per second: at the same deployment, at another, beside a late one, and of a stream "
                "that broke.",
                "cps",
                (
                    Query(rate("pointsman_retries_total{*}"), "retries", empty="no retry yet"),
                    Query(rate("pointsman_fallbacks_total{*}"), "fallbacks", empty="no fallback yet"),
                    Query(rate("pointsman_hedges_total{*}"), "hedges", empty="no route hedges"),
                    Query(rate("pointsman_resumes_total{*}"), "resumes", empty="no stream broke"),
                ),
                overrides=(Override("retries", YELLOW), Override("fallbacks", ORANGE), Override("hedges", PURPLE)),
            ),
            Panel(
                Show.GRAPH,
                "Refused at the door",
                "Share of requests refused before anything is read, since the process had too much to do, and "
                "requests that were, by the priority of their key.",
                "reqps",
                (
                    Query(
                        rate("pointsman_shed_requests_total{*}", "priority"), "{{priority}}", empty="no overload yet"
                    ),
                    Query("max(pointsman_shedding_ratio{*})", "share refused now"),
                ),
                overrides=(Override("share refused now", RED, right_unit="percentunit"),),
            ),
        ),
        folded=False,
    ),
)
