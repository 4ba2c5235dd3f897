"""The overview's rows on the processes themselves: whether they are full, restarted, and tell everything."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import or_zero, quantile, rate
from dashboards.building.values import (
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
    State,
    up_to,
)


def _seldom(title: str, about: str, counter: str, color: str) -> Panel:
    """How often it happened over the time shown what should not happen at all."""
    return Panel(
        Show.STAT,
        title,
        about,
        "short",
        (Query(or_zero(f"sum(increase({counter}{{*}}[$__range]))"), instant=True),),
        width=4,
        height=4,
        decimals=0,
        steps=up_to((1, color)),
        trend=False,
    )


_FULL: Final = Row(
    "Is a process full?",
    (
        Panel(
            Show.GRAPH,
            "In flight",
            "Requests being worked on, by public model, and streams that are open. What grows without end waits for "
            "something.",
            "short",
            (
                Query("sum by (route) (pointsman_inflight_requests{**})", "{{route}}"),
                Query("sum(pointsman_open_streams{*})", "open streams"),
            ),
            decimals=0,
            overrides=(Override("open streams", GREEN, dashed=True),),
        ),
        Panel(
            Show.GRAPH,
            "Waiting in line",
            "Requests that wait for a deployment or for their limits.",
            "short",
            (
                Query(
                    "sum by (deployment) (pointsman_queue_depth{*})",
                    "for {{deployment}}",
                    empty="no deployment has a line",
                ),
                Query(
                    "sum by (route) (pointsman_limit_queue_depth{*})", "for limits of {{route}}", empty="no limit waits"
                ),
            ),
            decimals=0,
        ),
        Panel(
            Show.GRAPH,
            "Event-loop lag, p99",
            "How late a worker gets to what it should do. Above 100 ms something blocks the loop: every caller of that "
            "worker waits for it.",
            "s",
            (
                Query(
                    quantile(0.99, "pointsman_event_loop_lag_seconds", "instance, worker"), "{{instance}} {{worker}}"
                ),
                Query(
                    quantile(0.99, "pointsman_gc_pause_seconds", "instance, worker"),
                    "{{instance}} {{worker}}: garbage",
                    empty="nothing was looked for in the interval",
                ),
            ),
            steps=up_to((0.1, RED)),
            steps_shown=True,
        ),
        Panel(
            Show.GRAPH,
            "Processor",
            "Cores that the gateway uses. A worker cannot use more than about one.",
            "short",
            (Query("sum by (instance) (rate(process_cpu_seconds_total{*}[$__rate_interval]))", "{{instance}}"),),
            decimals=2,
        ),
        Panel(
            Show.GRAPH,
            "Memory",
            "What the gateway's processes keep in memory.",
            "bytes",
            (Query("sum by (instance) (process_resident_memory_bytes{*})", "{{instance}}"),),
        ),
        Panel(
            Show.GRAPH,
            "Open files",
            "File descriptors, connections included.",
            "short",
            (Query("sum by (instance) (process_open_fds{*})", "{{instance}}"),),
            decimals=0,
        ),
    ),
)
_CHANGED: Final = Row(
    "What changed?",
    (
        Panel(
            Show.TABLE,
            "What runs where",
            "Version, policy and age of each gateway. Two policies side by side are a roll-out, or one that got stuck.",
            "none",
            (
                Query("sum by (instance, version, python) (pointsman_build_info{*})", instant=True),
                Query("sum by (instance, hash) (pointsman_config_info{*})", instant=True),
                Query("time() - min by (instance) (process_start_time_seconds{*})", instant=True),
                Query(
                    "sum by (instance) (pointsman_workers_ready{*})", instant=True, empty="one process has no workers"
                ),
            ),
            width=12,
            height=7,
            columns=(
                Column("instance", "Instance"),
                Column("version", "Version"),
                Column("python", "Python"),
                Column("hash", "Policy"),
                Column("Value #C", "Runs for", unit="dtdurations", decimals=0),
                Column("Value #D", "Workers", unit="short", decimals=0),
            ),
        ),
        Panel(
            Show.STATES,
            "Workers",
            "Whether each worker tells its numbers. A gap or a red bar is a worker that died or stalls.",
            "none",
            (
                Query(
                    "min by (instance, worker) (pointsman_worker_up{*})",
                    "{{instance}} {{worker}}",
                    empty="one process has no workers",
                ),
            ),
            width=12,
            height=7,
            states=(State(1, "up", GREEN), State(0, "silent", RED)),
            steps=up_to((1, GREEN), first=RED),
        ),
        Panel(
            Show.GRAPH,
            "Silence of workers",
            "How long ago each worker told its numbers last. They are told every second; a worker that stalls is late.",
            "s",
            (
                Query(
                    "max by (instance, worker) (pointsman_worker_last_push_age_seconds{*})",
                    "{{instance}} {{worker}}",
                    empty="one process has no workers",
                ),
            ),
            width=12,
            steps=up_to((5, RED)),
            steps_shown=True,
        ),
        Panel(
            Show.GRAPH,
            "The ledger's journal",
            "Attempts written down whose outcome has not come yet, and what the journal holds until the database "
            "has it. Bytes that could not be read back are rows that are lost.",
            "short",
            (
                Query("sum by (instance) (pointsman_ledger_open_intents{*})", "{{instance}}: open attempts"),
                Query("sum by (instance) (pointsman_ledger_journal_bytes{*})", "{{instance}}: journal"),
                Query(
                    "sum by (instance) (increase(pointsman_ledger_damaged_bytes_total{*}[$__rate_interval]))",
                    "{{instance}}: damaged",
                ),
            ),
            width=12,
            decimals=0,
            overrides=(
                Override(".*: journal", right_unit="bytes"),
                Override(".*: damaged", RED, right_unit="bytes"),
            ),
        ),
        _seldom(
            "Worker restarts",
            "Workers started anew after one that died, over the time shown.",
            "pointsman_worker_restarts_total",
            RED,
        ),
        Panel(
            Show.STAT,
            "Scrapes lost",
            "Gateways whose last scrape failed.",
            "short",
            (Query("count(up{*} == 0) or 0 * count(up{*})"),),
            width=4,
            height=4,
            decimals=0,
            steps=up_to((1, RED)),
        ),
        _seldom(
            "Unsettled attempts",
            "Attempts of processes that died whose end nobody knows, over the time shown; they are charged as "
            "estimated.",
            "pointsman_ledger_unknown_attempts_total",
            YELLOW,
        ),
        _seldom(
            "Ledger writes failed",
            "Writes to the ledger that failed, over the time shown. Rows wait in the journal meanwhile.",
            "pointsman_ledger_write_failures_total",
            RED,
        ),
        Panel(
            Show.STAT,
            "Ledger lag",
            "Age of the oldest row that the ledger's database does not have yet.",
            "s",
            (Query("max(pointsman_ledger_lag_seconds{*})"),),
            width=4,
            height=4,
            steps=up_to((30, YELLOW), (300, RED)),
        ),
        _seldom(
            "Calls not settled",
            "Calls whose settlement raised an error, over the time shown: a bug.",
            "pointsman_record_failures_total",
            RED,
        ),
    ),
)
_TOLD: Final = Row(
    "Can these numbers be trusted?",
    (
        Panel(
            Show.GRAPH,
            "Telemetry dropped",
            "Spans and log lines thrown away per second, since whoever should take them is away or too slow.",
            "cps",
            (Query(rate("pointsman_telemetry_dropped_total{*}", "signal"), "{{signal}}", empty="nothing was dropped"),),
            overrides=(Override(".*", ORANGE),),
        ),
        Panel(
            Show.GRAPH,
            "Series",
            "Time series of each gateway, beside the most that it may have. Beyond its cap a metric folds what is "
            "new into `__other__`.",
            "short",
            (
                Query("max by (instance) (pointsman_metric_series{*})", "{{instance}}"),
                Query("max(pointsman_metric_series_limit{*})", "limit"),
                Query("max by (instance) (scrape_samples_scraped{*})", "{{instance}} scraped"),
            ),
            decimals=0,
            overrides=(Override("limit", RED, dashed=True),),
        ),
        Panel(
            Show.TABLE,
            "Metrics beyond their cap",
            "Updates folded into `__other__` over the time shown, by metric: somebody's labels multiply.",
            "short",
            (
                Query(
                    "sum by (metric) (increase(pointsman_metric_series_rejected_total{*}[$__range])) > 0",
                    instant=True,
                    empty="no metric is beyond its cap",
                ),
            ),
            columns=(Column("metric", "Metric"), Column("Value", "Updates", unit="short", decimals=0)),
            none_text="none is",
        ),
    ),
    folded=True,
)
ROWS: Final = (_FULL, _CHANGED, _TOLD)
