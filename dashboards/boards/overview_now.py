"""The overview's first rows: how well callers are served now, and whose fault it is where they are not."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import grown, or_zero, part, quantile, rate, top
from dashboards.building.values import (
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
    board_link,
    up_to,
)
from dashboards.slo import BAD_OUTCOMES, BURNS, NOT_COUNTED, SLIS, errors_recorded

BAD: Final = f'pointsman_requests_total{{**,outcome=~"{BAD_OUTCOMES}"}}'
VALID: Final = f'pointsman_requests_total{{**,outcome!~"{NOT_COUNTED}"}}'
_PROMISE: Final = SLIS[0]
_AVAILABLE: Final = f"1 - {part(grown(BAD), grown(VALID))}"
_NEEDS_RULES: Final = "recorded by the rules of dashboards/rules, and empty where Prometheus does not load them"
_ALERTS: Final = 'ALERTS{alertname=~"Pointsman.+",alertstate="firing"'
_TO_MODELS: Final = board_link("pointsman-models", "Which provider? Models and providers")
_TO_REQUESTS: Final = board_link("pointsman-traces", "Which requests? Traces and logs")
_TO_THESE: Final = board_link(
    "pointsman-traces",
    "These requests, in the log",
    "var-route=${__data.fields.Route}&var-outcome=${__data.fields.Outcome}",
)
OUTCOME_COLOURS: Final = (
    Override("ok", GREEN),
    Override("client_error|denied_.*|guardrail_block", YELLOW),
    Override("client_cancelled", GREY),
    Override("upstream_error", RED),
    Override("timeout", ORANGE),
    Override("gateway_error", PURPLE),
)


def _failed(outcome: str) -> str:
    return part(rate(f'pointsman_requests_total{{**,outcome="{outcome}"}}'), rate(VALID))


_NOW: Final = Row(
    "Now",
    (
        Panel(
            Show.STAT,
            "Availability",
            "Share of requests that were answered, over the time shown. Not counted: what was the caller's own "
            f"error or was denied. Promised: {_PROMISE.promise}.",
            "percentunit",
            (Query(_AVAILABLE, instant=True),),
            width=4,
            height=4,
            decimals=2,
            steps=up_to((0.99, YELLOW), (_PROMISE.target, GREEN), first=RED),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Error budget left",
            "How much of the failures that the promise allows is left, were the time shown the whole period. Below "
            "0 the promise is broken.",
            "percentunit",
            (Query(f"1 - {part(grown(BAD), grown(VALID))} / {_PROMISE.budget}", instant=True),),
            width=4,
            height=4,
            decimals=0,
            steps=up_to((0, ORANGE), (0.25, YELLOW), (0.5, GREEN), first=RED),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Requests",
            "Requests per second, however they end.",
            "reqps",
            (Query(rate("pointsman_requests_total{**}")),),
            width=4,
            height=4,
            decimals=1,
        ),
        Panel(
            Show.STAT,
            "First token, p95",
            "95 of 100 streams begin within this time, as they are seen to begin upstream. Promised: "
            + SLIS[1].promise
            + ".",
            "s",
            (Query(quantile(0.95, "pointsman_time_to_first_token_seconds")),),
            width=4,
            height=4,
            steps=up_to((1.6, YELLOW), (3.2, RED)),
            none_text="no streams",
        ),
        Panel(
            Show.STAT,
            "Gateway overhead, p99",
            "What the gateway itself adds to 99 of 100 requests, before the first attempt and after the last. From "
            "20 ms on it is us who are slow.",
            "s",
            (Query(quantile(0.99, "pointsman_overhead_seconds")),),
            width=4,
            height=4,
            steps=up_to((0.01, YELLOW), (0.02, RED)),
        ),
        Panel(
            Show.STAT,
            "Alerts firing",
            "Pointsman's alerts that fire now: pages want somebody within minutes, tickets within days.",
            "short",
            (
                Query(or_zero(f'count({_ALERTS},severity="page"}})'), "pages"),
                Query(or_zero(f'count({_ALERTS},severity="ticket"}})'), "tickets"),
            ),
            width=4,
            height=4,
            decimals=0,
            steps=up_to((1, RED)),
            trend=False,
        ),
    ),
)
_SERVED: Final = Row(
    "Are callers served, and whose fault is it where not?",
    (
        Panel(
            Show.GRAPH,
            "Requests by outcome",
            "How requests end. Yellow is the callers' own doing, red and orange the providers', purple ours.",
            "reqps",
            (Query(rate("pointsman_requests_total{**}", "outcome"), "{{outcome}}"),),
            stacked=True,
            overrides=OUTCOME_COLOURS,
            links=(_TO_REQUESTS,),
        ),
        Panel(
            Show.GRAPH,
            "Failures: us or the provider",
            "Share of counted requests that were not answered, by who failed. `gateway` is a bug or an overload of "
            "ours; `provider` and `too slow` are upstream, after all retries and fallbacks. The line is what is "
            "promised.",
            "percentunit",
            (
                Query(_failed("upstream_error"), "provider"),
                Query(_failed("timeout"), "too slow"),
                Query(_failed("gateway_error"), "gateway"),
            ),
            steps=up_to((_PROMISE.budget, RED)),
            steps_shown=True,
            overrides=(Override("provider", RED), Override("too slow", ORANGE), Override("gateway", PURPLE)),
            links=(_TO_MODELS,),
        ),
        Panel(
            Show.GRAPH,
            "Burn rate of error budgets",
            "How many times faster than allowed each promise was broken over the last hour. At 1 the budget is used "
            f"up just in time; {BURNS[0].factor} pages within minutes.",
            "none",
            tuple(
                Query(
                    f'max({errors_recorded("1h")}{{job=~"$job",sli="{sli.name}"}}) / {sli.budget}',
                    sli.promise,
                    empty=_NEEDS_RULES,
                )
                for sli in SLIS
            ),
            decimals=2,
            steps=up_to((1, YELLOW), (BURNS[0].factor, RED)),
            steps_shown=True,
        ),
        Panel(
            Show.TABLE,
            "What fails most",
            "Requests that did not end well over the time shown, by public model and how they ended. A click shows "
            "them in the log.",
            "short",
            (
                Query(
                    top(10, grown('pointsman_requests_total{**,outcome!="ok"}', "route, model, outcome")),
                    instant=True,
                    empty="nothing failed in the time shown",
                ),
            ),
            width=12,
            height=7,
            columns=(
                Column("route", "Route"),
                Column("model", "Model"),
                Column("outcome", "Outcome"),
                Column("Value", "Requests", unit="short", decimals=0, links=(_TO_THESE,), bar=True),
            ),
            sort_by="Requests",
            none_text="nothing failed",
        ),
        Panel(
            Show.TABLE,
            "Alerts that fire now",
            "What fires, and how soon somebody must act. The runbook of each is docs/runbook.md under its name.",
            "none",
            (Query(f"{_ALERTS}}}", instant=True, empty="a healthy gateway raises no alert"),),
            width=12,
            height=7,
            columns=(
                Column("alertname", "Alert", width=260),
                Column("severity", "Severity"),
                Column("deployment", "Deployment"),
                Column("model", "Model"),
                Column("id", "Budget"),
                Column("instance", "Instance"),
            ),
            none_text="no alert fires",
        ),
    ),
)
ROWS: Final = (_NOW, _SERVED)
