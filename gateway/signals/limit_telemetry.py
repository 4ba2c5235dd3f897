"""The names under which limits, budgets, replays and shedding appear in telemetry."""

from __future__ import annotations

from enum import StrEnum

from gateway.signals.telemetry import NANO, Family, Kind, Merge


class Decision(StrEnum):
    """What a limit said of a reservation."""

    ALLOWED = "allowed"
    DENIED = "denied"


_CHECK = (0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1)

DECISIONS = Family(
    "pointsman_ratelimit_decisions_total",
    Kind.COUNTER,
    "What limits said of reservations, by whose use is limited (scope) and what is counted (limit). Of a denial the "
    "limit that was named; one of a deployment or provider moves a call on.",
    ("scope", "limit", "decision"),
)
CHECK = Family(
    "pointsman_ratelimit_check_seconds",
    Kind.HISTOGRAM,
    "What asking the limits took, without the wait for a turn.",
    ("decision",),
    _CHECK,
)
BUDGET_LIMIT = Family(
    "pointsman_budget_limit_usd",
    Kind.GAUGE,
    "A budget: of several of one holder the one that is used up most.",
    ("scope", "id"),
    scale=NANO,
    cap=5_000,
    merge=Merge.LARGEST,
)
BUDGET_SPENT = Family(
    "pointsman_budget_spent_usd",
    Kind.GAUGE,
    "What is spent of that budget in its window.",
    ("scope", "id"),
    scale=NANO,
    cap=5_000,
    merge=Merge.LARGEST,
)
BUDGET_RESERVED = Family(
    "pointsman_budget_reserved_usd",
    Kind.GAUGE,
    "What calls under way hold of that budget.",
    ("scope", "id"),
    scale=NANO,
    cap=5_000,
    merge=Merge.LARGEST,
)
LIMIT_QUEUE = Family("pointsman_limit_queue_depth", Kind.GAUGE, "Requests waiting for their limits.", ("route",))
LIMIT_RESERVATIONS = Family("pointsman_limit_reservations", Kind.GAUGE, "Reservations that calls of this process hold.")
LIMIT_STORE_DEGRADED = Family(
    "pointsman_limit_store_degraded",
    Kind.GAUGE,
    "1 while the shared store is away and this node decides by itself.",
    merge=Merge.LARGEST,
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
    merge=Merge.LARGEST,
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
SHEDDING = Family(
    "pointsman_shedding_ratio",
    Kind.GAUGE,
    "The share of requests that is refused at the door now.",
    merge=Merge.LARGEST,
)
