"""Every name that leaves the gateway as telemetry: metric families, labels, buckets, log events; spans have
theirs in `conventions`.

Dashboards, alerts and people's scripts depend on these words, so they stand in one place and nothing here acts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

SERVICE = "pointsman"
REQUEST_COMPLETED = "request.completed"
CACHE_CALL_COMPLETED = "cache.call.completed"
LOG_SCHEMA_VERSION = 2


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """What a gauge of several processes is as one number."""

    SUM = "sum"  # an amount; of what is said to be shared the largest
    LARGEST = "largest"  # each sees all of it, or the worst is what matters
    SMALLEST = "smallest"


class Family(NamedTuple):
    """One metric: `scale` is how many of the kept integer make one exposed unit (nano-USD to USD), `cap` the most label
    sets it may have. `merge` matters for gauges alone, for counters and histograms are added up. `otlp_labels` are kept
    behind the others for OpenTelemetry's names, which demand them; scrapes and our own names are told the sums.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    scale: int = 1
    cap: int = 2_000
    merge: Merge = Merge.SUM
    otlp_labels: tuple[str, ...] = ()

    @property
    def kept_labels(self) -> tuple[str, ...]:
        return self.labels + self.otlp_labels

    @property
    def series_each(self) -> int:
        """How many time series one label set is: a histogram's buckets, +Inf, sum and count."""
        return len(self.buckets) + 3 if self.kind is Kind.HISTOGRAM else 1


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


FAULTS: Final = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT, Outcome.GATEWAY_ERROR})
"""What no caller can help: errors on spans, kept by sampling, counted against availability."""


class Finish(StrEnum):
    """Why a model stopped writing, in the words that are known; an upstream may say anything."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    FUNCTION_CALL = "function_call"
    CONTENT_FILTER = "content_filter"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    ERROR = "error"


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
_SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)
_WHERE = ("provider", "deployment", "model")
OPERATION = "operation"
"""What was asked for, in OpenTelemetry's words. A deployment nearly always does one thing, and boards tell by that."""

REQUESTS = Family(
    "pointsman_requests_total", Kind.COUNTER, "Requests by how they ended.", ("route", "model", "outcome"), cap=5_000
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
OPEN_STREAMS = Family("pointsman_open_streams", Kind.GAUGE, "Answers that are being streamed.")
QUEUE_DEPTH = Family(
    "pointsman_queue_depth",
    Kind.GAUGE,
    "Calls that wait at a deployment which tells its line.",
    ("deployment",),
)
ATTEMPTS = Family(
    "pointsman_upstream_attempts_total", Kind.COUNTER, "Attempts by how they ended.", (*_WHERE, "outcome")
)
FINISH_REASONS = Family(
    "pointsman_finish_reasons_total",
    Kind.COUNTER,
    "Attempts that were answered, by why the model stopped writing. Words that are not known are `other`.",
    (*_WHERE, "reason"),
)
UPSTREAM_DURATION = Family(
    "pointsman_upstream_duration_seconds",
    Kind.HISTOGRAM,
    "From an attempt's start to its end.",
    _WHERE,
    DURATION,
    otlp_labels=(OPERATION,),
)
FIRST_TOKEN = Family(
    "pointsman_time_to_first_token_seconds",
    Kind.HISTOGRAM,
    "From an attempt's start to its first token; streams only.",
    _WHERE,
    _FIRST_TOKEN,
    otlp_labels=(OPERATION,),
)
PER_TOKEN = Family(
    "pointsman_time_per_output_token_seconds",
    Kind.HISTOGRAM,
    "Mean time per output token after the first; streams only.",
    _WHERE,
    _PER_TOKEN,
    otlp_labels=(OPERATION,),
)
TOKENS = Family(
    "pointsman_tokens_total",
    Kind.COUNTER,
    "Tokens. cached_input and cache_write_input are part of input, reasoning is part of output.",
    (*_WHERE, "type"),
    otlp_labels=(OPERATION,),
)
ATTEMPT_TOKENS = Family(
    "pointsman_attempt_tokens",
    Kind.HISTOGRAM,
    "Tokens of an attempt, read (input) and written (output). Kept where metrics are sent by OTLP, which asks for it.",
    (*_WHERE, "type"),
    _SIZES,
    otlp_labels=(OPERATION,),
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
CORRECTED = Family(
    "pointsman_usage_corrected_total",
    Kind.COUNTER,
    "Counts of tokens that an upstream told and that cannot be, by why: cut to what can be, or taken for none.",
    ("provider", "model", "reason"),
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
    merge=Merge.LARGEST,
)
CREDENTIAL_CIRCUIT_STATE = Family(
    "pointsman_credential_circuit_state",
    Kind.GAUGE,
    "A deployment's breaker under each of its named credentials: 0 closed, 1 half open, 2 open.",
    ("deployment", "credential"),
    merge=Merge.LARGEST,
)
CREDENTIAL_STATE = Family(
    "pointsman_credential_state",
    Kind.GAUGE,
    "The breaker of a provider's credential: 0 closed, 1 half open, 2 open.",
    ("provider", "credential"),
    merge=Merge.LARGEST,
)
CREDENTIAL_REFUSED = Family(
    "pointsman_credential_refused_total",
    Kind.COUNTER,
    "Attempts that a provider refused for the credential's sake: invalid, not allowed, or spent.",
    ("provider", "credential"),
)
DEPLOYMENT_UP = Family(
    "pointsman_deployment_up",
    Kind.GAUGE,
    "1 where a deployment may be sent requests.",
    ("deployment",),
    merge=Merge.SMALLEST,
)
KEY_UP = Family(
    "pointsman_key_up",
    Kind.GAUGE,
    "1 where a deployment's credential is not known to be refused by its provider. One without a name has no label.",
    ("deployment", "credential"),
    merge=Merge.SMALLEST,
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
