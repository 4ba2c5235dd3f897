"""The cost board's later rows: what a token costs, what is saved, and how far the numbers can be trusted."""

from __future__ import annotations

from typing import Final

from dashboards.boards.cost_spent import ANSWERED, COST, OUTPUT_COST, OUTPUT_TOKENS, TOKENS, per_million
from dashboards.building.promql import grown, or_zero, part, rate
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
    board_link,
    up_to,
)

_SAVED: Final = "pointsman_cache_saved_usd_total{*}"
_TO_CACHE: Final = board_link("pointsman-cache", "What the cache does")
_NO_INVOICE: Final = "no invoice was noted: `pointsman usage reconcile`"
_UNPRICED: Final = "pointsman_unpriced_requests_total{**}"
_ATTEMPTS: Final = "pointsman_upstream_attempts_total{**}"
_PRICE: Final = Row(
    "What does a token cost?",
    (
        Panel(
            Show.GRAPH,
            "USD per 1M tokens, blended",
            "Cost over tokens, input and output together, by model. It moves with prices, with the share of output, "
            "and with what providers' caches take off. Unpriced tokens pull it down.",
            "currencyUSD",
            (Query(per_million(COST, TOKENS, "model"), "{{model}}"),),
            decimals=2,
            calcs=("min", "mean", "max"),
        ),
        Panel(
            Show.GRAPH,
            "USD per 1M output tokens",
            "What a million written tokens cost by model: it should be the price list's number, after discount and "
            "margin. Models whose provider bills whole answers are not here.",
            "currencyUSD",
            (Query(per_million(OUTPUT_COST, OUTPUT_TOKENS, "model"), "{{model}}"),),
            decimals=2,
            calcs=("min", "mean", "max"),
        ),
        Panel(
            Show.GRAPH,
            "USD per answered request",
            "Cost over requests that were answered: it rises when prompts grow, when answers grow, and when retries "
            "do.",
            "currencyUSD",
            (
                Query(
                    f"{rate('pointsman_cost_usd_total{*}')} / ({rate(ANSWERED)} > 0)",
                    "per request",
                ),
            ),
            decimals=5,
            calcs=("min", "mean", "max"),
        ),
    ),
)
_SAVING: Final = Row(
    "What is saved?",
    (
        Panel(
            Show.GRAPH,
            "The gateway's cache, USD per hour",
            "What hits would have cost, beside what shadow checks, judges and embeddings of the cache cost.",
            "currencyUSD",
            (
                Query(f"3600 * {rate(_SAVED, 'cache')}", "saved by {{cache}}", empty="no route has a cache"),
                Query(
                    f"-3600 * {rate('pointsman_cache_cost_usd_total{*}')}",
                    "spent by the cache",
                    empty="no semantic cache",
                ),
            ),
            stacked=True,
            least=None,
            overrides=(Override("spent by the cache", RED, unstacked=True),),
            links=(_TO_CACHE,),
        ),
        Panel(
            Show.GRAPH,
            "Cached share of input, by model",
            "Input tokens that providers took from their own prompt caches, at a tenth to a half of the price.",
            "percentunit",
            (
                Query(
                    part(
                        rate('pointsman_tokens_total{**,type="cached_input"}', "model"),
                        rate('pointsman_tokens_total{**,type="input"}', "model"),
                    ),
                    "{{model}}",
                ),
            ),
            most=1,
        ),
        Panel(
            Show.STAT,
            "Saved by the cache",
            "What hits would have cost over the time shown, and that as a share of what would have been spent "
            "without them.",
            "currencyUSD",
            (
                Query(or_zero(grown(_SAVED)), "saved", instant=True),
                Query(
                    or_zero(f"{grown(_SAVED)} / ({grown(_SAVED)} + {grown('pointsman_cost_usd_total{*}')} > 0)"),
                    "of all",
                    instant=True,
                ),
            ),
            decimals=2,
            overrides=(Override("of all", right_unit="percentunit"),),
            trend=False,
        ),
    ),
)
_TRUST: Final = Row(
    "Can the numbers be trusted?",
    (
        Panel(
            Show.STAT,
            "Unpriced attempts",
            "Attempts that used tokens and have no cost, over the time shown. They are in no sum above: what they "
            "cost is not 0, it is unknown. Mend it with a price in the policy file, or `pointsman prices update`.",
            "short",
            (Query(or_zero(grown(_UNPRICED)), instant=True),),
            width=4,
            height=5,
            decimals=0,
            steps=up_to((1, RED)),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Estimated usage",
            "Share of attempts whose tokens were counted by us, since the upstream or the caller left before telling.",
            "percentunit",
            (Query(part(grown("pointsman_estimated_usage_total{**}"), grown(_ATTEMPTS)), instant=True),),
            width=4,
            height=5,
            decimals=1,
            steps=up_to((0.02, YELLOW), (0.1, RED)),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Age of the price table",
            "How old the prices are. Providers change theirs a few times a year.",
            "s",
            (Query("max(pointsman_price_table_age_seconds{*})"),),
            width=4,
            height=5,
            steps=up_to((14 * 86_400, YELLOW), (30 * 86_400, RED)),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Ledger against counters",
            "By how much the numbers above and a process's rows in the ledger differ: 0 unless there is a bug.",
            "currencyUSD",
            (Query("max(abs(pointsman_ledger_metric_difference_usd{*}))"),),
            width=4,
            height=5,
            decimals=6,
            steps=up_to((0.000001, RED)),
            trend=False,
        ),
        Panel(
            Show.TABLE,
            "Charged against the provider's bill",
            "The latest invoice that was noted of each provider, and how much of it the ledger has. Below 97 % "
            "somebody spends past the gateway, or a price is wrong.",
            "currencyUSD",
            (
                Query("max by (provider) (pointsman_provider_invoice_usd{**})", instant=True, empty=_NO_INVOICE),
                Query("min by (provider) (pointsman_spend_capture_ratio{**})", instant=True, empty=_NO_INVOICE),
            ),
            width=8,
            height=5,
            columns=(
                Column("provider", "Provider"),
                Column("Value #A", "Invoice", unit="currencyUSD", decimals=2),
                Column(
                    "Value #B",
                    "In the ledger",
                    unit="percentunit",
                    decimals=1,
                    steps=up_to((0.97, YELLOW), (0.99, GREEN), (1.01, YELLOW), first=RED),
                ),
            ),
            none_text="no invoice was noted: pointsman usage reconcile",
        ),
        Panel(
            Show.TABLE,
            "Unpriced, by model",
            "Which models have no price, or no usage to multiply it with, over the time shown.",
            "short",
            (
                Query(
                    f"{grown(_UNPRICED, 'provider, model, reason')} > 0",
                    instant=True,
                    empty="everything that was used has a price",
                ),
            ),
            columns=(
                Column("provider", "Provider"),
                Column("model", "Model"),
                Column("reason", "Reason"),
                Column("Value", "Attempts", unit="short", decimals=0),
            ),
            none_text="everything has a price",
        ),
        Panel(
            Show.GRAPH,
            "Estimated usage by provider",
            "Share of a provider's attempts whose tokens were counted by us, by why; and counts that a provider told "
            "and that cannot be, such as a part above its whole, as a share of its attempts.",
            "percentunit",
            (
                Query(
                    f"{rate('pointsman_usage_corrected_total{**}', 'provider, reason')} / on (provider) group_left () "
                    f"({rate(_ATTEMPTS, 'provider')} > 0)",
                    "{{provider}}, corrected: {{reason}}",
                    empty="all counts could be",
                ),
                Query(
                    f"{rate('pointsman_estimated_usage_total{**}', 'provider, reason')} / on (provider) group_left () "
                    f"({rate(_ATTEMPTS, 'provider')} > 0)",
                    "{{provider}}, {{reason}}",
                    empty="all usage was told",
                ),
            ),
        ),
        Panel(
            Show.GRAPH,
            "Where prices came from, USD per hour",
            "`provider` is the provider's own amount, `table` the shipped list, `override` the policy file, "
            "`local_standard` hardware of one's own, `assumed` a stand-in, and `estimated` a price times estimated "
            "usage.",
            "currencyUSD",
            (Query(f"3600 * {rate(COST, 'source')}", "{{source}}"),),
            stacked=True,
            overrides=(Override("estimated", YELLOW), Override("assumed", ORANGE)),
        ),
    ),
)
ROWS: Final = (_PRICE, _SAVING, _TRUST)
