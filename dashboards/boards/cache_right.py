"""The cache board's later rows: why the cache does not answer, and whether its answers are right."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import rate
from dashboards.building.values import (
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Override,
    Panel,
    Query,
    Row,
    Show,
    State,
    up_to,
)

_REQUESTS: Final = "pointsman_cache_requests_total{**}"
_HITS: Final = 'pointsman_cache_requests_total{**,result="hit"}'
_NOT_SEMANTIC: Final = "no route has a semantic level"
_CALM: Final = "the stores and the embedder can be asked"
_SAVED_TOKENS: Final = "pointsman_cache_saved_tokens_total{**}"
_WHY: Final = Row(
    "Why did it not answer?",
    (
        Panel(
            Show.GRAPH,
            "Left alone, by reason",
            "Calls per second that the cache passed by altogether.",
            "cps",
            (Query(rate("pointsman_cache_bypass_total{**}", "reason"), "{{reason}}", empty="no call was left alone"),),
            stacked=True,
        ),
        Panel(
            Show.GRAPH,
            "Levels above exact closed, by reason",
            "Calls per second whose wording alone may be looked for.",
            "cps",
            (Query(rate("pointsman_cache_exact_only_total{**}", "reason"), "{{reason}}", empty="none was closed"),),
            stacked=True,
        ),
        Panel(
            Show.GRAPH,
            "Not kept, by reason",
            "Answers of misses per second that were not kept.",
            "cps",
            (Query(rate("pointsman_cache_not_stored_total{**}", "reason"), "{{reason}}", empty="all were kept"),),
            stacked=True,
        ),
        Panel(
            Show.GRAPH,
            "Looks by level",
            "Looks at each level per second, by what came of it: `error` is a store or an embedder that could not "
            "be asked.",
            "cps",
            (Query(rate("pointsman_cache_lookups_total{*}", "cache, result"), "{{cache}}: {{result}}"),),
            overrides=(Override(".*: error", RED),),
        ),
        Panel(
            Show.GRAPH,
            "Ruled out by its words",
            "Nearest questions per second that were alike in meaning and differed in a word that matters, by the sign.",
            "cps",
            (Query(rate("pointsman_cache_vetoed_total{**}", "veto"), "{{veto}}", empty=_NOT_SEMANTIC),),
            stacked=True,
        ),
        Panel(
            Show.GRAPH,
            "Could not be asked",
            "Look-ups per second that were given up since a store or the embedder was away; calls went to the models.",
            "cps",
            (
                Query(rate("pointsman_cache_unavailable_total{*}", "part"), "{{part}}", empty=_CALM),
                Query("sum by (store) (pointsman_cache_unsent{*})", "{{store}}: unsent", empty=_CALM),
            ),
            overrides=(Override(".*: unsent", YELLOW, right_unit="short"),),
        ),
    ),
)
_RIGHT: Final = Row(
    "Are its answers right?",
    (
        Panel(
            Show.GRAPH,
            "Wrong hits per request",
            "What the policy allows, what the curve reckons, and what labels of shadow checks and feedback say at "
            "worst.",
            "percentunit",
            (
                Query(
                    "max by (route) (pointsman_cache_false_hit_budget{**})", "{{route}}: allowed", empty=_NOT_SEMANTIC
                ),
                Query(
                    "max by (route) (pointsman_cache_false_hits_expected{**})",
                    "{{route}}: reckoned",
                    empty=_NOT_SEMANTIC,
                ),
                Query(
                    "max by (route) (pointsman_cache_false_hits_observed_max{**})",
                    "{{route}}: at worst",
                    empty=_NOT_SEMANTIC,
                ),
            ),
            decimals=2,
            overrides=(Override(".*: allowed", RED, dashed=True), Override(".*: at worst", ORANGE)),
        ),
        Panel(
            Show.GRAPH,
            "Risk bar",
            "The highest risk at which a semantic hit is served now. It falls where labels find more wrong hits.",
            "percentunit",
            (Query("min by (route) (pointsman_cache_risk_bar{**})", "{{route}}", empty=_NOT_SEMANTIC),),
            decimals=2,
        ),
        Panel(
            Show.GRAPH,
            "Labels",
            "Semantic hits per second of which it was learnt whether they were right, and what judges said.",
            "cps",
            (
                Query(
                    rate("pointsman_cache_labels_total{**}", "source, verdict"),
                    "{{source}}: {{verdict}}",
                    empty=_NOT_SEMANTIC,
                ),
                Query(
                    rate("pointsman_cache_judge_calls_total{**}", "verdict"),
                    "judge: {{verdict}}",
                    empty="no route has a judge",
                ),
            ),
            overrides=(Override(".*: bad", RED), Override(".*: good", GREEN)),
        ),
        Panel(
            Show.STATES,
            "Embedder",
            "Whether questions can be embedded. While it is red, only exact and near answers are found.",
            "none",
            (Query("min by (embedder) (pointsman_cache_embedder_up{*})", "{{embedder}}", empty=_NOT_SEMANTIC),),
            width=8,
            height=5,
            states=(State(1, "up", GREEN), State(0, "away", RED)),
            steps=up_to((1, GREEN), first=RED),
        ),
        Panel(
            Show.GRAPH,
            "The cache's own calls",
            "Shadow checks, questions to judges and embeddings by deployments, per second, by how they ended; "
            "`client_cancelled` is one that the cache gave up. They are no requests: the other boards' rates, and the "
            "promise of availability, leave them out.",
            "cps",
            (
                Query(
                    rate("pointsman_cache_own_calls_total{**}", "purpose, outcome"),
                    "{{purpose}}: {{outcome}}",
                    empty=_NOT_SEMANTIC,
                ),
            ),
            width=8,
            height=5,
            stacked=True,
            overrides=(Override(".*: (upstream_error|timeout|gateway_error)", RED),),
        ),
        Panel(
            Show.GRAPH,
            "The cache's own cost, USD per hour",
            "Shadow checks, judges and embeddings.",
            "currencyUSD",
            (
                Query(
                    f"3600 * {rate('pointsman_cache_cost_usd_total{**}', 'purpose')}",
                    "{{purpose}}",
                    empty=_NOT_SEMANTIC,
                ),
            ),
            width=8,
            height=5,
            stacked=True,
            overrides=(Override("shadow", YELLOW),),
        ),
    ),
    folded=False,
)
ROWS: Final = (_WHY, _RIGHT)
