"""The names under which the process, its workers and telemetry itself appear in telemetry.

`worker` is the number of a worker, "0" where there is one process; "supervisor" is the process that starts several.
"""

from __future__ import annotations

from gateway.signals.telemetry import NANO, Family, Kind, Merge

_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

LOOP_LAG = Family(
    "pointsman_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How much later than asked the event loop woke up.",
    ("worker",),
    _LAG,
)
GC_PAUSE = Family(
    "pointsman_gc_pause_seconds",
    Kind.HISTOGRAM,
    "Pauses of the process while Python looked for garbage in cycles.",
    ("worker",),
    _LAG,
)
TELEMETRY_DROPPED = Family(
    "pointsman_telemetry_dropped_total",
    Kind.COUNTER,
    "Spans, log lines, points of metrics that were refused and exports of them that did not arrive, by signal and, "
    "where there are several, destination.",
    ("signal",),
)
SERIES_REJECTED = Family(
    "pointsman_metric_series_rejected_total",
    Kind.COUNTER,
    "Updates that found no room: the metric's cap or the gateway's budget of series was reached.",
    ("metric",),
)
RECORD_FAILURES = Family(
    "pointsman_record_failures_total", Kind.COUNTER, "Calls whose settlement raised an error.", ("signal",)
)
METRIC_SERIES = Family("pointsman_metric_series", Kind.GAUGE, "Time series in this scrape.", merge=Merge.LARGEST)
METRIC_SERIES_LIMIT = Family(
    "pointsman_metric_series_limit",
    Kind.GAUGE,
    "The budget of time series: beyond it, what is new goes to `__other__`.",
    merge=Merge.LARGEST,
)
BUILD_INFO = Family("pointsman_build_info", Kind.GAUGE, "Always 1.", ("version", "python"), merge=Merge.LARGEST)
CONFIG_INFO = Family(
    "pointsman_config_info", Kind.GAUGE, "Always 1; the policy in force.", ("hash",), merge=Merge.LARGEST
)
PROCESS_CPU = Family("process_cpu_seconds_total", Kind.COUNTER, "User and system time.", ("worker",), scale=NANO)
PROCESS_RSS = Family("process_resident_memory_bytes", Kind.GAUGE, "Memory in use.", ("worker",))
PROCESS_FDS = Family("process_open_fds", Kind.GAUGE, "Open file descriptors.", ("worker",))
PROCESS_START = Family(
    "process_start_time_seconds", Kind.GAUGE, "When the process began, in Unix seconds.", ("worker",)
)
WORKERS_READY = Family("pointsman_workers_ready", Kind.GAUGE, "Worker processes that take calls.")
WORKER_RESTARTS = Family(
    "pointsman_worker_restarts_total", Kind.COUNTER, "Starts of a worker after one that died.", ("worker",)
)
WORKER_UP = Family(
    "pointsman_worker_up", Kind.GAUGE, "1 where a worker is there and tells its numbers in time.", ("worker",)
)
WORKER_PUSH_AGE = Family(
    "pointsman_worker_last_push_age_seconds",
    Kind.GAUGE,
    "How long ago a worker told its numbers last.",
    ("worker",),
)
