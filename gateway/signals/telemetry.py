"""Every name that leaves the gateway as telemetry: metric families, labels, buckets, log events; spans have
theirs in `conventions`.

Dashboards, alerts and people's scripts depend on these words, so they stand in one place and nothing here acts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

SERVICE = "pointsman"
REQUEST_COMPLETED = "request.completed"
LOG_SCHEMA_VERSION = 1


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(NamedTuple):
    """One metric: `scale` is how many of the kept integer make one exposed unit (nano-USD to USD)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    scale: int = 1
    cap: int = 2_000


class Outcome(StrEnum):
    """How a request ended, as everything outside hears it."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    DENIED_AUTH = "denied_auth"
    DENIED_RATE = "denied_rate"
    DENIED_BUDGET = "denied_budget"
    GUARDRAIL_BLOCK = "guardrail_block"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    GATEWAY_ERROR = "gateway_error"
    CLIENT_CANCELLED = "client_cancelled"


class Unpriced(StrEnum):
    """Why an attempt that used tokens has no cost."""

    NO_PRICE = "no_price"
    NO_USAGE = "no_usage"
    CALC_ERROR = "calc_error"


class Estimated(StrEnum):
    """Why an attempt's usage is an estimate."""

    DISCONNECT = "disconnect"
    NO_USAGE_CHUNK = "no_usage_chunk"


OTHER = "other"
"""Stands for whatever a caller may spell as it likes: a model that only matched a pattern, say."""
OVERFLOW = "__other__"
"""Takes what comes after a family has reached its cap of series."""
NONE = "none"
"""No route matched, or the key belongs to no team."""

NANO = 1_000_000_000
DURATION = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 600)
_OVERHEAD = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1)
_FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2)
_PER_TOKEN = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_WHERE = ("provider", "deployment", "model")

REQUESTS = Family(
    "pointsman_requests_total", Kind.COUNTER, "Requests by how they ended.", ("route", "model", "outcome")
)
REQUEST_DURATION = Family(
    "pointsman_request_duration_seconds",
    Kind.HISTOGRAM,
    "From the request's arrival to the last byte of the answer.",
    ("route", "stream"),
    DURATION,
)
OVERHEAD = Family(
    "pointsman_overhead_seconds",
    Kind.HISTOGRAM,
    "Time in the gateway itself: before the first attempt and after the last.",
    ("route",),
    _OVERHEAD,
)
INFLIGHT = Family("pointsman_inflight_requests", Kind.GAUGE, "Requests being worked on.", ("route",))
ATTEMPTS = Family(
    "pointsman_upstream_attempts_total", Kind.COUNTER, "Attempts by how they ended.", (*_WHERE, "outcome")
)
UPSTREAM_DURATION = Family(
    "pointsman_upstream_duration_seconds", Kind.HISTOGRAM, "From an attempt's start to its end.", _WHERE, DURATION
)
FIRST_TOKEN = Family(
    "pointsman_time_to_first_token_seconds",
    Kind.HISTOGRAM,
    "From an attempt's start to its first token; streams only.",
    _WHERE,
    _FIRST_TOKEN,
)
PER_TOKEN = Family(
    "pointsman_time_per_output_token_seconds",
    Kind.HISTOGRAM,
    "Mean time per output token after the first; streams only.",
    _WHERE,
    _PER_TOKEN,
)
TOKENS = Family(
    "pointsman_tokens_total",
    Kind.COUNTER,
    "Tokens. cached_input and cache_write_input are part of input, reasoning is part of output.",
    (*_WHERE, "type"),
)
COST = Family(
    "pointsman_cost_usd_total",
    Kind.COUNTER,
    "Cost in USD by component. Unpriced attempts are not in here.",
    (*_WHERE, "component", "source"),
    scale=NANO,
)
TEAM_COST = Family(
    "pointsman_team_cost_usd_total", Kind.COUNTER, "Cost in USD.", ("team", "model"), scale=NANO, cap=5_000
)
TEAM_TOKENS = Family("pointsman_team_tokens_total", Kind.COUNTER, "Tokens.", ("team", "type"), cap=5_000)
TEAM_REQUESTS = Family("pointsman_team_requests_total", Kind.COUNTER, "Requests.", ("team", "outcome"), cap=5_000)
UNPRICED = Family(
    "pointsman_unpriced_requests_total",
    Kind.COUNTER,
    "Attempts that used tokens and have no cost.",
    ("provider", "model", "reason"),
)
ESTIMATED = Family(
    "pointsman_estimated_usage_total", Kind.COUNTER, "Attempts whose usage is an estimate.", ("provider", "reason")
)
FALLBACKS = Family(
    "pointsman_fallbacks_total",
    Kind.COUNTER,
    "Requests that moved to another deployment.",
    ("from_deployment", "to_deployment", "reason"),
)
RETRIES = Family(
    "pointsman_retries_total", Kind.COUNTER, "Attempts repeated at one deployment.", ("deployment", "reason")
)
HEDGES = Family(
    "pointsman_hedges_total",
    Kind.COUNTER,
    "Attempts made beside one that was late, by how they ended: `ok` is a hedge that won.",
    ("from_deployment", "to_deployment", "outcome"),
)
RESUMES = Family(
    "pointsman_resumes_total",
    Kind.COUNTER,
    "Attempts to take up a stream that broke, by how they ended.",
    ("from_deployment", "to_deployment", "outcome"),
)
CIRCUIT_STATE = Family(
    "pointsman_circuit_state",
    Kind.GAUGE,
    "A deployment's breaker, under the best of its credentials: 0 closed, 1 half open, 2 open.",
    ("deployment",),
)
CREDENTIAL_CIRCUIT_STATE = Family(
    "pointsman_credential_circuit_state",
    Kind.GAUGE,
    "A deployment's breaker under each of its named credentials: 0 closed, 1 half open, 2 open.",
    ("deployment", "credential"),
)
CREDENTIAL_STATE = Family(
    "pointsman_credential_state",
    Kind.GAUGE,
    "The breaker of a provider's credential: 0 closed, 1 half open, 2 open.",
    ("provider", "credential"),
)
CREDENTIAL_REFUSED = Family(
    "pointsman_credential_refused_total",
    Kind.COUNTER,
    "Attempts that a provider refused for the credential's sake: invalid, not allowed, or spent.",
    ("provider", "credential"),
)
DEPLOYMENT_UP = Family(
    "pointsman_deployment_up", Kind.GAUGE, "1 where a deployment may be sent requests.", ("deployment",)
)
RETRIES_REFUSED = Family(
    "pointsman_retries_refused_total",
    Kind.COUNTER,
    "Second tries that were not made, since the deployment's retry budget was spent.",
    ("deployment", "credential"),
)
PROBES = Family(
    "pointsman_health_probes_total",
    Kind.COUNTER,
    "Health probes by how they ended.",
    ("deployment", "credential", "outcome"),
)
LOOP_LAG = Family(
    "pointsman_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How much later than asked the event loop woke up.",
    ("worker",),
    _LAG,
)
TELEMETRY_DROPPED = Family(
    "pointsman_telemetry_dropped_total", Kind.COUNTER, "Spans and log lines thrown away.", ("signal",)
)
SERIES_REJECTED = Family(
    "pointsman_metric_series_rejected_total", Kind.COUNTER, "Updates beyond a metric's cap of series.", ("metric",)
)
RECORD_FAILURES = Family(
    "pointsman_record_failures_total", Kind.COUNTER, "Calls whose settlement raised an error.", ("signal",)
)
LEDGER_FAILURES = Family("pointsman_ledger_write_failures_total", Kind.COUNTER, "Writes to the ledger that failed.")
LEDGER_LAG = Family("pointsman_ledger_lag_seconds", Kind.GAUGE, "Age of the oldest row not yet in the ledger.")
LEDGER_UNKNOWN = Family(
    "pointsman_ledger_unknown_attempts_total",
    Kind.COUNTER,
    "Attempts of processes that died whose outcome nobody knows: they are charged as estimated.",
)
LEDGER_DAMAGED = Family(
    "pointsman_ledger_damaged_bytes_total", Kind.COUNTER, "Bytes of journals that could not be read back."
)
LEDGER_OPEN_INTENTS = Family(
    "pointsman_ledger_open_intents", Kind.GAUGE, "Attempts written down whose outcome has not come yet."
)
LEDGER_JOURNAL = Family("pointsman_ledger_journal_bytes", Kind.GAUGE, "Size of the write-ahead journal.")
LIMIT_DENIALS = Family(
    "pointsman_limit_denials_total",
    Kind.COUNTER,
    "Reservations that a limit refused, by the limit that was named. One of a deployment moves a call on.",
    ("scope", "resource"),
)
LIMIT_QUEUE = Family("pointsman_limit_queue_depth", Kind.GAUGE, "Requests waiting for their limits.", ("route",))
LIMIT_RESERVATIONS = Family("pointsman_limit_reservations", Kind.GAUGE, "Reservations that calls of this process hold.")
LIMIT_STORE_DEGRADED = Family(
    "pointsman_limit_store_degraded", Kind.GAUGE, "1 while the shared store is away and this node decides by itself."
)
LIMIT_STORE_FAILURES = Family(
    "pointsman_limit_store_failures_total", Kind.COUNTER, "Questions that the shared store did not answer."
)
LIMIT_DEGRADED_DECISIONS = Family(
    "pointsman_limit_degraded_decisions_total", Kind.COUNTER, "Reservations that this node decided by itself."
)
LIMIT_UNSENT = Family(
    "pointsman_limit_settlements_unsent", Kind.GAUGE, "Settlements that wait for the shared store to return."
)
LIMIT_LOST = Family(
    "pointsman_limit_settlements_lost_total", Kind.COUNTER, "Settlements given up; the ledger has what they were about."
)
LIMIT_DRIFT = Family(
    "pointsman_limit_drift_ratio",
    Kind.GAUGE,
    "How far the worst budget in the limit store was from the ledger, as part of the larger of the two numbers.",
)
LIMIT_CORRECTIONS = Family(
    "pointsman_limit_corrections_total",
    Kind.COUNTER,
    "Budgets in the limit store that were set to what the ledger says.",
)
REPLAYS = Family(
    "pointsman_idempotent_replays_total",
    Kind.COUNTER,
    "Calls whose Idempotency-Key was sent before: joined, replayed, or refused as reused, lost, crowded or in use; and "
    "those of which nobody could tell (unavailable).",
    ("outcome",),
)
REPLAYS_BYTES = Family(
    "pointsman_idempotent_answers_bytes", Kind.GAUGE, "What answers kept for their Idempotency-Key take in memory."
)
REPLAYS_UNSENT = Family(
    "pointsman_idempotent_answers_unsent", Kind.GAUGE, "Answers that wait for the shared store to return."
)
SHED = Family(
    "pointsman_shed_requests_total",
    Kind.COUNTER,
    "Requests refused at the door, so that the others are served, by the priority of their key.",
    ("priority",),
)
SHEDDING = Family("pointsman_shedding_ratio", Kind.GAUGE, "The share of requests that is refused at the door now.")
BUILD_INFO = Family("pointsman_build_info", Kind.GAUGE, "Always 1.", ("version", "python"))
CONFIG_INFO = Family("pointsman_config_info", Kind.GAUGE, "Always 1; the policy in force.", ("hash",))
PROCESS_CPU = Family("process_cpu_seconds_total", Kind.COUNTER, "User and system time.")
PROCESS_RSS = Family("process_resident_memory_bytes", Kind.GAUGE, "Memory in use.")
PROCESS_FDS = Family("process_open_fds", Kind.GAUGE, "Open file descriptors.")
PROCESS_START = Family("process_start_time_seconds", Kind.GAUGE, "When the process began, in Unix seconds.")
WORKERS_READY = Family("pointsman_workers_ready", Kind.GAUGE, "Worker processes that take calls.")
WORKER_RESTARTS = Family(
    "pointsman_worker_restarts_total", Kind.COUNTER, "Starts of a worker after one that died.", ("worker",)
)
