"""The cache board's first rows: how much the cache answers and saves, and how fast it is."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import grown, mean, or_zero, part, quantile, rate
from dashboards.building.values import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    YELLOW,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
)

_REQUESTS: Final = "pointsman_cache_requests_total{**}"
_HITS: Final = 'pointsman_cache_requests_total{**,result="hit"}'
_NOT_SEMANTIC: Final = "no route has a semantic level"
_CALM: Final = "the stores and the embedder can be asked"
_SAVED_TOKENS: Final = "pointsman_cache_saved_tokens_total{**}"
_ANSWERS: Final = Row(
    "How much does it answer?",
    (
        Panel(
            Show.STAT,
            "Hit ratio",
            "Share of calls of routes with a cache that were answered from it, over the time shown.",
            "percentunit",
            (Query(part(grown(_HITS), grown(_REQUESTS)), instant=True),),
            width=4,
            height=4,
            decimals=1,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Saved",
            "What the answers of hits cost when they were made, over the time shown.",
            "currencyUSD",
            (Query(or_zero(grown("pointsman_cache_saved_usd_total{*}")), instant=True),),
            width=4,
            height=4,
            decimals=2,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Tokens saved",
            "Tokens that hits took when they were made, input and output, over the time shown.",
            "short",
            (Query(or_zero(grown(_SAVED_TOKENS)), instant=True),),
            width=4,
            height=4,
            decimals=1,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "The cache's own cost",
            "What shadow checks, judges and embeddings cost, over the time shown. It should be a small part of what "
            "is saved.",
            "currencyUSD",
            (Query(or_zero(grown("pointsman_cache_cost_usd_total{**}")), instant=True),),
            width=4,
            height=4,
            decimals=4,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Answers kept",
            "How many answers lie in the stores.",
            "short",
            (Query("sum(pointsman_cache_entries{*})"),),
            width=4,
            height=4,
            decimals=0,
        ),
        Panel(
            Show.STAT,
            "Joined",
            "Hits that waited for the same question's call which was under way, over the time shown.",
            "short",
            (Query(or_zero(grown("pointsman_cache_joined_total{**}")), instant=True),),
            width=4,
            height=4,
            decimals=0,
            trend=False,
        ),
        Panel(
            Show.GRAPH,
            "Hit ratio by level",
            "Share of calls answered by each level: exact is the same request, near the same words, semantic the "
            "same meaning.",
            "percentunit",
            (
                Query(
                    f"{rate(_HITS, 'level')} / on () group_left () ({rate(_REQUESTS)} > 0)",
                    "{{level}}",
                    empty="nothing was hit",
                ),
            ),
            stacked=True,
            most=1,
        ),
        Panel(
            Show.GRAPH,
            "Calls by result",
            "Hits, misses, and calls that the cache left alone.",
            "reqps",
            (Query(rate(_REQUESTS, "result"), "{{result}}"),),
            stacked=True,
            overrides=(Override("hit", GREEN), Override("miss", BLUE), Override("bypass", GREY)),
        ),
        Panel(
            Show.GRAPH,
            "Saved, USD per hour",
            "What hits would have cost, by the model that made the answers.",
            "currencyUSD",
            (
                Query(
                    f"3600 * {rate('pointsman_cache_saved_usd_total{*}', 'cache, model')}",
                    "{{cache}}: {{model}}",
                    empty="nothing was hit",
                ),
            ),
            stacked=True,
        ),
        Panel(
            Show.GRAPH,
            "Tokens saved per second",
            "Tokens that need not be generated again.",
            "short",
            (Query(rate(_SAVED_TOKENS, "type"), "{{type}}", empty="nothing was hit"),),
            stacked=True,
            decimals=1,
        ),
        Panel(
            Show.GRAPH,
            "Cached share of input at providers",
            "The providers' own prompt caches, by model: what they took off input tokens. It is no work of this cache.",
            "percentunit",
            (
                Query(
                    part(
                        rate('pointsman_tokens_total{*,type="cached_input"}', "model"),
                        rate('pointsman_tokens_total{*,type="input"}', "model"),
                    ),
                    "{{model}}",
                ),
            ),
            most=1,
        ),
        Panel(
            Show.TABLE,
            "Routes",
            "What the cache does for each route over the time shown.",
            "short",
            (
                Query(grown(_REQUESTS, "route"), instant=True),
                Query(part(grown(_HITS, "route"), grown(_REQUESTS, "route")), instant=True),
                Query(
                    grown("pointsman_cache_route_saved_usd_total{**}", "route"), instant=True, empty="nothing was hit"
                ),
                Query(
                    f"{grown('pointsman_cache_hit_age_seconds_sum{**}', 'route')} / "
                    f"({grown('pointsman_cache_hit_age_seconds_count{**}', 'route')} > 0)",
                    instant=True,
                    empty="nothing was hit",
                ),
            ),
            columns=(
                Column("route", "Route"),
                Column("Value #A", "Calls", unit="short", decimals=0),
                Column("Value #B", "Hit ratio", unit="percentunit", decimals=1, bar=True),
                Column("Value #C", "Saved", unit="currencyUSD", decimals=2),
                Column("Value #D", "Mean age of hits", unit="s", decimals=0),
            ),
            sort_by="Calls",
        ),
    ),
)
_SPEED: Final = Row(
    "How fast is it, and what does it keep?",
    (
        Panel(
            Show.GRAPH,
            "Looking it up, p50 and p99",
            "What a look at the cache takes, by the last level that was asked. On a miss the caller waits for it on "
            "top.",
            "s",
            (
                Query(quantile(0.5, "pointsman_cache_lookup_seconds", "cache"), "{{cache}} p50"),
                Query(quantile(0.99, "pointsman_cache_lookup_seconds", "cache"), "{{cache}} p99"),
            ),
        ),
        Panel(
            Show.GRAPH,
            "A hit beside an attempt, mean",
            "What a look that hits takes, beside what an attempt at a model takes: the cache's gain in time.",
            "s",
            (
                Query(mean("pointsman_cache_lookup_seconds", "", '{*,result="hit"}'), "hit", empty="nothing was hit"),
                Query(mean("pointsman_cache_lookup_seconds", "", '{*,result="miss"}'), "look that misses"),
                Query(mean("pointsman_upstream_duration_seconds", "", "{*}"), "attempt at a model"),
            ),
            log_scale=True,
            least=0.00001,
            overrides=(Override("hit", GREEN), Override("attempt at a model", ORANGE)),
        ),
        Panel(
            Show.GRAPH,
            "Embedding a question",
            "What embedding takes, its wait included, and how many questions wait.",
            "s",
            (
                Query(
                    quantile(0.95, "pointsman_cache_embedding_seconds", "embedder"),
                    "{{embedder}} p95",
                    empty=_NOT_SEMANTIC,
                ),
                Query(
                    "max by (embedder) (pointsman_cache_embedder_queue{*})", "{{embedder}} waiting", empty=_NOT_SEMANTIC
                ),
            ),
            overrides=(Override(".*waiting", YELLOW, right_unit="short"),),
        ),
        Panel(
            Show.GRAPH,
            "Kept",
            "Answers and questions in the stores, and what they take.",
            "short",
            (
                Query("sum by (store) (pointsman_cache_entries{*})", "{{store}}: answers"),
                Query("sum by (store) (pointsman_cache_vectors{*})", "{{store}}: vectors", empty=_NOT_SEMANTIC),
                Query("sum by (store) (pointsman_cache_bytes{*})", "{{store}}: bytes"),
            ),
            decimals=0,
            overrides=(Override(".*: bytes", ORANGE, right_unit="bytes"),),
        ),
        Panel(
            Show.GRAPH,
            "Let go",
            "Answers per second that made room for others, or reached their age. Many evictions: the cache is too "
            "small.",
            "cps",
            (
                Query(rate("pointsman_cache_evicted_total{*}"), "evicted", empty="nothing had to make room"),
                Query(rate("pointsman_cache_expired_total{*}"), "expired", empty="nothing reached its age"),
            ),
            overrides=(Override("evicted", ORANGE),),
        ),
        Panel(
            Show.GRAPH,
            "Age of hits",
            "How old the answers of hits are, half and 95 of 100, by route.",
            "s",
            (
                Query(
                    quantile(0.5, "pointsman_cache_hit_age_seconds", "route"), "{{route}} p50", empty="nothing was hit"
                ),
                Query(
                    quantile(0.95, "pointsman_cache_hit_age_seconds", "route"), "{{route}} p95", empty="nothing was hit"
                ),
            ),
        ),
    ),
)
ROWS: Final = (_ANSWERS, _SPEED)
