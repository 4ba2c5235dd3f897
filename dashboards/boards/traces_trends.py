"""The traces board's first row: the shape of what the lists below hold, and the way from a spike to one request."""

from __future__ import annotations

from typing import Final

from dashboards.boards.overview_now import OUTCOME_COLOURS
from dashboards.boards.traces_requests import CHOSEN, EVENTS
from dashboards.building.promql import quantile
from dashboards.building.values import GREEN, ORANGE, RED, Override, Panel, Query, Row, Show, Source

_NOT_HERE: Final = "asked of Loki, which this suite does not start: its lines are checked against the query's fields"
_NAMES: Final = 'route="route", deployment="deployment", team="team", outcome="outcome"'


def _unwrapped(path: str) -> str:
    return f'{EVENTS} |= "$text" | json {_NAMES}, value="{path}" | {CHOSEN} | value!="" | unwrap value'


ROWS: Final = (
    Row(
        "From a spike to a request",
        (
            Panel(
                Show.GRAPH,
                "Request duration with traces",
                "Half and 99 of 100 requests end within these times. Each point is a request whose trace was kept: "
                "a click opens it in Tempo.",
                "s",
                (
                    Query(quantile(0.5, "pointsman_request_duration_seconds", "", '{*,route=~"$route"}'), "p50"),
                    Query(
                        quantile(0.99, "pointsman_request_duration_seconds", "", '{*,route=~"$route"}'),
                        "p99",
                        exemplars=True,
                    ),
                ),
                overrides=(Override("p50", GREEN), Override("p99", RED)),
            ),
            Panel(
                Show.GRAPH,
                "First token with traces",
                "95 of 100 streams begin within this time, by deployment. Points are traces.",
                "s",
                (
                    Query(
                        quantile(
                            0.95, "pointsman_time_to_first_token_seconds", "deployment", '{*,deployment=~"$deployment"}'
                        ),
                        "{{deployment}}",
                        exemplars=True,
                    ),
                ),
            ),
            Panel(
                Show.GRAPH,
                "Upstream time with traces",
                "95 of 100 attempts end within this time, by deployment. Points are traces.",
                "s",
                (
                    Query(
                        quantile(
                            0.95, "pointsman_upstream_duration_seconds", "deployment", '{*,deployment=~"$deployment"}'
                        ),
                        "{{deployment}}",
                        exemplars=True,
                    ),
                ),
            ),
            Panel(
                Show.GRAPH,
                "Requests by outcome, from the log",
                "Requests that match the choices above, by how they ended. It tells apart what metrics cannot: "
                "single teams and texts.",
                "short",
                (
                    Query(
                        f'sum by (outcome) (count_over_time({EVENTS} |= "$text" | json {_NAMES} | {CHOSEN} [$__auto]))',
                        "{{outcome}}",
                        source=Source.LOKI,
                        empty=_NOT_HERE,
                    ),
                ),
                decimals=0,
                stacked=True,
                overrides=OUTCOME_COLOURS,
            ),
            Panel(
                Show.GRAPH,
                "Cost by team, from the log",
                "USD in each step of the graph of requests that match the choices above: the same nano-USD as in "
                "the ledger.",
                "currencyUSD",
                (
                    Query(
                        f"sum by (team) (sum_over_time({_unwrapped('cost.total_nano_usd')} [$__auto])) / 1e9",
                        "{{team}}",
                        source=Source.LOKI,
                        empty=_NOT_HERE,
                    ),
                ),
                stacked=True,
            ),
            Panel(
                Show.GRAPH,
                "Time in the gateway, from the log",
                "What requests that match the choices above spent in the gateway itself and in line under their "
                "limits: 95 of 100.",
                "ms",
                (
                    Query(
                        f"quantile_over_time(0.95, {_unwrapped('timing_ms.overhead')} [$__auto]) by (route)",
                        "{{route}}: overhead",
                        source=Source.LOKI,
                        empty=_NOT_HERE,
                    ),
                    Query(
                        f"quantile_over_time(0.95, {_unwrapped('timing_ms.queue')} [$__auto]) by (route)",
                        "{{route}}: queue",
                        source=Source.LOKI,
                        empty=_NOT_HERE,
                    ),
                ),
                overrides=(Override(".*: queue", ORANGE),),
            ),
        ),
    ),
)
