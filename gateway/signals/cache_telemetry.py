"""The names under which caches of routes appear in telemetry. Labels are words of the policy file and of enums only."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.signals.telemetry import NANO, Family, Kind, Merge


class Result(StrEnum):
    """What the cache did with a call."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"
    ERROR = "error"  # of one level alone: its store or embedder could not be asked


class LabelSource(StrEnum):
    """Who said that a semantic hit was good or bad."""

    SHADOW = "shadow"
    FEEDBACK = "feedback"


class Purpose(StrEnum):
    """What a cache itself asks of models for."""

    SHADOW = "shadow"
    JUDGE = "judge"
    EMBEDDING = "embedding"


_LOOKUP: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 2.5)
_AGE: Final = (1, 10, 60, 300, 900, 3600, 14_400, 86_400, 259_200, 604_800, 2_592_000)

CACHE_REQUESTS = Family(
    "pointsman_cache_requests_total",
    Kind.COUNTER,
    "Calls of routes with a cache: hit, miss or bypass. Of hits, `level` says how much alike the two requests were.",
    ("route", "result", "level"),
)
CACHE_LOOKUPS = Family(
    "pointsman_cache_lookups_total",
    Kind.COUNTER,
    "Looks at each level of a cache that a call came to, the one that hit being the last: exact, near or semantic.",
    ("cache", "result"),
)
CACHE_JOINED = Family(
    "pointsman_cache_joined_total",
    Kind.COUNTER,
    "Hits that got the answer of a call which was still under way.",
    ("route",),
)
CACHE_BYPASS = Family(
    "pointsman_cache_bypass_total",
    Kind.COUNTER,
    "Calls that the cache left alone, by why.",
    ("route", "reason"),
)
CACHE_CLOSED = Family(
    "pointsman_cache_exact_only_total",
    Kind.COUNTER,
    "Calls for which the levels above exact were closed, by why.",
    ("route", "reason"),
)
CACHE_NOT_STORED = Family(
    "pointsman_cache_not_stored_total",
    Kind.COUNTER,
    "Answers of misses that were not kept, by why.",
    ("route", "reason"),
)
CACHE_SAVED_COST = Family(
    "pointsman_cache_saved_usd_total",
    Kind.COUNTER,
    "What the answers of hits cost in USD when they were made, by the model that made them. Those whose cost is not "
    "known are not in here.",
    ("cache", "model"),
    scale=NANO,
)
CACHE_ROUTE_SAVED_COST = Family(
    "pointsman_cache_route_saved_usd_total",
    Kind.COUNTER,
    "The same by route.",
    ("route", "level"),
    scale=NANO,
)
CACHE_SAVED_TOKENS = Family(
    "pointsman_cache_saved_tokens_total",
    Kind.COUNTER,
    "Tokens that the answers of hits took when they were made.",
    ("route", "level", "type"),
)
CACHE_LOOKUP = Family(
    "pointsman_cache_lookup_seconds",
    Kind.HISTOGRAM,
    "What looking for an answer took, by the last level that was asked.",
    ("cache", "result"),
    _LOOKUP,
)
CACHE_AGE = Family(
    "pointsman_cache_hit_age_seconds",
    Kind.HISTOGRAM,
    "How old the answers of hits were.",
    ("route",),
    _AGE,
)
CACHE_VETOED = Family(
    "pointsman_cache_vetoed_total",
    Kind.COUNTER,
    "Misses whose nearest question was ruled out by its words, by the sign that did.",
    ("route", "veto"),
)
CACHE_RISK_BAR = Family(
    "pointsman_cache_risk_bar",
    Kind.GAUGE,
    "The highest risk, as the curve has it before labels correct it, at which a semantic hit is served now.",
    ("route",),
    merge=Merge.LARGEST,
)
CACHE_BUDGET = Family(
    "pointsman_cache_false_hit_budget",
    Kind.GAUGE,
    "Wrong semantic hits per request that the policy allows.",
    ("route",),
    merge=Merge.LARGEST,
)
CACHE_EXPECTED = Family(
    "pointsman_cache_false_hits_expected",
    Kind.GAUGE,
    "Wrong semantic hits per request as the curve reckons them of the hits served.",
    ("route",),
    merge=Merge.LARGEST,
)
CACHE_OBSERVED = Family(
    "pointsman_cache_false_hits_observed_max",
    Kind.GAUGE,
    "Wrong semantic hits per request by the labels of shadow checks and feedback, on the cautious side.",
    ("route",),
    merge=Merge.LARGEST,
)
CACHE_LABELS = Family(
    "pointsman_cache_labels_total",
    Kind.COUNTER,
    "Semantic hits of which it was learnt whether they were good or bad, by who said so.",
    ("route", "source", "verdict"),
)
CACHE_COST = Family(
    "pointsman_cache_cost_usd_total",
    Kind.COUNTER,
    "What the cache itself spent at models, in USD: shadow checks, judges, embeddings.",
    ("route", "purpose"),
    scale=NANO,
)
CACHE_CALLS = Family(
    "pointsman_cache_own_calls_total",
    Kind.COUNTER,
    "Calls that caches made by themselves, by what for and how they ended, and by the route that they were made for. "
    "They are no caller's requests; their attempts, tokens and cost count with all others.",
    ("route", "purpose", "outcome"),
)
CACHE_JUDGED = Family(
    "pointsman_cache_judge_calls_total",
    Kind.COUNTER,
    "Questions to a judge, by what it said, or why it did not.",
    ("route", "verdict"),
)
CACHE_ENTRIES = Family("pointsman_cache_entries", Kind.GAUGE, "Answers kept.", ("store",), merge=Merge.LARGEST)
CACHE_BYTES = Family(
    "pointsman_cache_bytes", Kind.GAUGE, "What kept answers take, about.", ("store",), merge=Merge.LARGEST
)
CACHE_VECTORS = Family(
    "pointsman_cache_vectors", Kind.GAUGE, "Questions that can be found by their like.", ("store",), merge=Merge.LARGEST
)
CACHE_EVICTED = Family("pointsman_cache_evicted_total", Kind.COUNTER, "Answers that made room for others.", ("store",))
CACHE_EXPIRED = Family("pointsman_cache_expired_total", Kind.COUNTER, "Answers let go at their age.", ("store",))
CACHE_UNSENT = Family(
    "pointsman_cache_unsent", Kind.GAUGE, "Answers and records that wait for the shared store to return.", ("store",)
)
CACHE_UNAVAILABLE = Family(
    "pointsman_cache_unavailable_total",
    Kind.COUNTER,
    "Look-ups that were given up since the store or the embedder could not be asked.",
    ("part",),
)
EMBEDDER_QUEUE = Family(
    "pointsman_cache_embedder_queue", Kind.GAUGE, "Questions that wait to be embedded.", ("embedder",)
)
EMBEDDER_DURATION = Family(
    "pointsman_cache_embedding_seconds",
    Kind.HISTOGRAM,
    "What embedding a question took, its wait included.",
    ("embedder",),
    _LOOKUP,
)
EMBEDDER_UP = Family(
    "pointsman_cache_embedder_up", Kind.GAUGE, "1 where the embedder can be asked.", ("embedder",), merge=Merge.SMALLEST
)
