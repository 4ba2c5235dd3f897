"""The traces board's lists: requests with their cost, those worth a look, their traces, and what else the log says."""

from __future__ import annotations

from typing import Final

from dashboards.building.explore import line_link, trace_link
from dashboards.building.values import ORANGE, RED, YELLOW, Column, Panel, Query, Row, Show, Source, up_to

EVENTS: Final = '{service="pointsman",event="request.completed"}'
CHOSEN: Final = 'route=~"$route" | deployment=~"$deployment" | team=~"$team" | outcome=~"$outcome"'
_FIELDS: Final = (
    'ts="ts", request_id="request_id", trace_id="trace_id", team="team", route="route", model="model_served", '
    'deployment="deployment", outcome="outcome", total_ms="timing_ms.total", ttft_ms="timing_ms.ttft", '
    'input="tokens.input", output="tokens.output", nano_usd="cost.total_nano_usd", source="cost.source", '
    'unpriced="cost.unpriced", second="attempts[1].deployment"'
)
_USD: Final = "label_format usd=`{{ if .nano_usd }}{{ divf .nano_usd 1000000000 }}{{ end }}`"
_LINES: Final = f'{EVENTS} |= "$text" | json {_FIELDS} | {CHOSEN}'
_NOT_HERE: Final = "asked of Loki, which this suite does not start: its lines are checked against the query's fields"
_NOT_TEMPO: Final = "asked of Tempo, which this suite does not start: its attributes are checked against our spans"
_COLUMNS: Final = (
    Column("ts", "Time", width=210),
    Column("request_id", "Request", links=(line_link("Request"),)),
    Column("team", "Team"),
    Column("route", "Route"),
    Column("model", "Model"),
    Column("deployment", "Deployment"),
    Column("outcome", "Outcome"),
    Column("total_ms", "Took", unit="ms", decimals=0, steps=up_to((5_000, YELLOW), (30_000, RED))),
    Column("ttft_ms", "First token", unit="ms", decimals=0, steps=up_to((1_600, YELLOW), (3_200, RED))),
    Column("input", "Input", unit="short", decimals=0),
    Column("output", "Output", unit="short", decimals=0),
    Column("usd", "Cost", unit="currencyUSD", decimals=6, steps=up_to((0.1, YELLOW), (1, ORANGE))),
    Column("source", "Priced by"),
    Column("trace_id", "Trace", links=(trace_link("Trace"),)),
)
_OF_SERVER: Final = 'resource.service.name = "pointsman" && kind = server'


def _requests(title: str, about: str, more: str = "") -> Panel:
    expr = f"{_LINES}{f' | {more}' if more else ''} | {_USD}"
    query = Query(expr, source=Source.LOKI, empty=_NOT_HERE)
    return Panel(Show.TABLE, title, about, "none", (query,), width=24, height=10, columns=_COLUMNS)


def _traces(title: str, about: str, condition: str) -> Panel:
    query = Query(f"{{ {_OF_SERVER} && {condition} }}", source=Source.TEMPO, empty=_NOT_TEMPO)
    return Panel(Show.TABLE, title, about, "none", (query,), width=12)


ROWS: Final = (
    Row(
        "Requests",
        (
            _requests(
                "Requests with what they cost",
                "One line per request, the latest first, of the log event request.completed. A click on the trace "
                "opens it; a click on the request shows every line that names it. No cost means that nobody knows "
                "it, not that it was 0.",
            ),
            _requests(
                "Dear requests",
                "Requests that cost a cent or more, all attempts together. Sort by cost to find the dearest.",
                "nano_usd >= 10000000",
            ),
            _requests(
                "Requests that needed another attempt",
                "Requests with more than one attempt: retries, fallbacks, hedges and resumes.",
                'second!=""',
            ),
            _requests(
                "Requests without a price",
                "Requests of which an attempt used tokens and has no cost.",
                'unpriced!=""',
            ),
        ),
    ),
    Row(
        "Traces",
        (
            _traces(
                "Failed",
                "Requests that ended in an error, of the traces that were kept. Errors are always kept.",
                "status = error",
            ),
            _traces("Slow", "Requests that took ten seconds or more.", "duration >= 10s"),
            _traces(
                "Moved elsewhere",
                "Requests that another deployment answered than the first that was tried.",
                "span.pointsman.fallback = true",
            ),
            _traces("Dear", "Requests that cost a cent or more.", "span.pointsman.cost.total >= 0.01"),
        ),
    ),
    Row(
        "The log",
        (
            Panel(
                Show.LOGS,
                "Warnings and errors",
                "What the gateway says besides requests: upstreams set aside, reloads refused, exporters that are "
                "away.",
                "none",
                (
                    Query(
                        '{service="pointsman",level=~"warning|error|critical",event!="request.completed"} |= "$text"',
                        source=Source.LOKI,
                        empty=_NOT_HERE,
                    ),
                ),
                width=24,
                height=9,
            ),
            Panel(
                Show.LOGS,
                "Failed requests, whole lines",
                "The log lines of requests that did not end well, with error type, code and the scrubbed message.",
                "none",
                (
                    Query(
                        f'{EVENTS} |= "$text" | json route="route", deployment="deployment", team="team", '
                        f'outcome="outcome" | {CHOSEN} | outcome!="ok"',
                        source=Source.LOKI,
                        empty=_NOT_HERE,
                    ),
                ),
                width=24,
                height=9,
            ),
        ),
    ),
)
