"""The models board's later rows: how fast deployments are, how they stop, and what probes say of them."""

from __future__ import annotations

from typing import Final

from dashboards.boards.models_health import ATTEMPTS
from dashboards.building.promql import part, quantile, rate
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
    State,
    up_to,
)

_BY: Final = "deployment"
ROWS: Final = (
    Row(
        "Who is slow?",
        (
            Panel(
                Show.GRAPH,
                "Time upstream, p95",
                "95 of 100 attempts at a deployment end within this time. Points are traces.",
                "s",
                (Query(quantile(0.95, "pointsman_upstream_duration_seconds", _BY), "{{deployment}}", exemplars=True),),
            ),
            Panel(
                Show.GRAPH,
                "Time to first token",
                "Half and 95 of 100 streams of a deployment begin within these times. The line is what is promised.",
                "s",
                (
                    Query(quantile(0.5, "pointsman_time_to_first_token_seconds", _BY), "{{deployment}} p50"),
                    Query(
                        quantile(0.95, "pointsman_time_to_first_token_seconds", _BY),
                        "{{deployment}} p95",
                        exemplars=True,
                    ),
                ),
                steps=up_to((3.2, RED)),
                steps_shown=True,
            ),
            Panel(
                Show.GRAPH,
                "Time per output token",
                "What a token takes after the first, half and 95 of 100 streams. A reader takes about 0.1 s for a "
                "word.",
                "s",
                (
                    Query(quantile(0.5, "pointsman_time_per_output_token_seconds", _BY), "{{deployment}} p50"),
                    Query(quantile(0.95, "pointsman_time_per_output_token_seconds", _BY), "{{deployment}} p95"),
                ),
                steps=up_to((0.1, YELLOW)),
                steps_shown=True,
            ),
            Panel(
                Show.GRAPH,
                "Output tokens per second",
                "Tokens that deployments write, all their calls together.",
                "short",
                (Query(rate('pointsman_tokens_total{**,type="output"}', _BY), "{{deployment}}"),),
                stacked=True,
                decimals=0,
            ),
            Panel(
                Show.GRAPH,
                "Input tokens per second",
                "Tokens that deployments read, cached ones included.",
                "short",
                (Query(rate('pointsman_tokens_total{**,type="input"}', _BY), "{{deployment}}"),),
                stacked=True,
                decimals=0,
            ),
            Panel(
                Show.GRAPH,
                "Reasoning share of output",
                "Tokens that are thought and never shown, as a share of all output, by model: paid for all the same.",
                "percentunit",
                (
                    Query(
                        part(
                            rate('pointsman_tokens_total{**,type="reasoning"}', "model"),
                            rate('pointsman_tokens_total{**,type="output"}', "model"),
                        ),
                        "{{model}}",
                    ),
                ),
                most=1,
            ),
        ),
    ),
    Row(
        "How do answers end?",
        (
            Panel(
                Show.GRAPH,
                "Finish reasons",
                "Why models stopped writing. `length` is an answer that was cut; `content_filter` one that was held "
                "back.",
                "cps",
                (Query(rate("pointsman_finish_reasons_total{**}", "reason"), "{{reason}}"),),
                stacked=True,
                overrides=(
                    Override("stop", GREEN),
                    Override("length", YELLOW),
                    Override("content_filter", RED),
                    Override("error", ORANGE),
                    Override("tool_calls", PURPLE),
                ),
            ),
            Panel(
                Show.GRAPH,
                "Cut for length, by model",
                "Share of answers that reached their limit of tokens: a limit that is too low, or a model that does "
                "not stop.",
                "percentunit",
                (
                    Query(
                        part(
                            rate('pointsman_finish_reasons_total{**,reason="length"}', "model"),
                            rate("pointsman_finish_reasons_total{**}", "model"),
                        ),
                        "{{model}}",
                    ),
                ),
                most=1,
            ),
            Panel(
                Show.GRAPH,
                "Hedges and resumes",
                "Attempts beside one that was late, and attempts to take up a stream that broke, by how they ended: "
                "`ok` is one that won.",
                "cps",
                (
                    Query(rate("pointsman_hedges_total{*}", "outcome"), "hedge: {{outcome}}", empty="no route hedges"),
                    Query(
                        rate("pointsman_resumes_total{*}", "outcome"), "resume: {{outcome}}", empty="no stream broke"
                    ),
                ),
            ),
            Panel(
                Show.STATES,
                "May be sent requests",
                "What the gateway makes of breakers, credentials and probes together. Where all deployments of a "
                "model are red, the model is gone.",
                "none",
                (Query("min by (deployment) (pointsman_deployment_up{**})", "{{deployment}}"),),
                width=12,
                states=(State(1, "up", GREEN), State(0, "set aside", RED)),
                steps=up_to((1, GREEN), first=RED),
            ),
            Panel(
                Show.GRAPH,
                "Health probes",
                "Probes per second by how they ended, and how many deployments are in the line.",
                "cps",
                (
                    Query(
                        rate("pointsman_health_probes_total{**}", "deployment, outcome"),
                        "{{deployment}}: {{outcome}}",
                        empty="no provider asks for probes",
                    ),
                ),
                width=6,
            ),
            Panel(
                Show.GRAPH,
                "Share of calls",
                "How calls are spread over deployments: what balancing, weights and breakers come to.",
                "percentunit",
                (Query(f"{rate(ATTEMPTS, _BY)} / on () group_left () ({rate(ATTEMPTS)} > 0)", "{{deployment}}"),),
                width=6,
                stacked=True,
                most=1,
            ),
        ),
    ),
)
