"""The cost board's first rows: how much is spent, by whom, and on what."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import grown, rate, top
from dashboards.building.values import (
    RED,
    YELLOW,
    Column,
    Panel,
    Query,
    Row,
    Show,
    board_link,
    up_to,
)

ANSWERED: Final = 'pointsman_requests_total{*,outcome="ok"}'
COST: Final = "pointsman_cost_usd_total{**}"
TOKENS: Final = 'pointsman_tokens_total{**,type=~"input|output"}'
OUTPUT_TOKENS: Final = 'pointsman_tokens_total{**,type="output"}'
# A bill that comes with an answer is one sum: of what its output cost nothing is known, which is not 0.
OUTPUT_COST: Final = 'pointsman_cost_usd_total{**,component="output",source!="provider"}'
TEAM_COST: Final = "pointsman_team_cost_usd_total{**}"
_TEAM_TOKENS: Final = 'pointsman_team_tokens_total{**,type=~"input|output"}'
_A_DAY: Final = "needs more than a day of history"
_MONTH: Final = "730.5 * 3600"
_TO_BUDGETS: Final = board_link("pointsman-limits", "Budgets and limits of this team", "var-team=${__data.fields.Team}")
_TO_REQUESTS: Final = board_link(
    "pointsman-traces", "The dearest requests of this team", "var-team=${__data.fields.Team}"
)
_TO_MODEL: Final = board_link("pointsman-models", "How this model does", "var-model=${__data.fields.Model}")


def per_million(cost: str, tokens: str, by: str = "") -> str:
    """USD for a million tokens. Tokens without a price are in it too, so it is too low where much is unpriced."""
    return f"1e6 * {rate(cost, by)} / ({rate(tokens, by)} > 0)"


def _overall(cost: str, tokens: str, by: str = "") -> str:
    return f"1e6 * {grown(cost, by)} / ({grown(tokens, by)} > 0)"


_NOW: Final = Row(
    "How much?",
    (
        Panel(
            Show.STAT,
            "Spent",
            "What all priced attempts cost over the time shown, failed and cancelled ones included: the charged "
            "amounts, discounts off and margins on. The ledger is the bill; this is the fast view of it.",
            "currencyUSD",
            (Query(grown(COST), instant=True),),
            width=4,
            height=5,
            decimals=2,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Per hour, now",
            "The present pace of spending.",
            "currencyUSD",
            (Query(f"3600 * {rate(COST)}"),),
            width=4,
            height=5,
            decimals=2,
        ),
        Panel(
            Show.STAT,
            "A month at this pace",
            "What a month of 730.5 hours would cost if it went on as in the time shown. Show a whole week for a "
            "forecast that knows of nights and weekends.",
            "currencyUSD",
            (Query(f"{grown(COST)} / $__range_s * {_MONTH}", instant=True),),
            width=4,
            height=5,
            decimals=0,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Per 1M tokens",
            "USD for a million tokens, input and output together, over the time shown: blended, and of output alone.",
            "currencyUSD",
            (
                Query(_overall(COST, TOKENS), "blended", instant=True),
                Query(_overall(OUTPUT_COST, OUTPUT_TOKENS), "output", instant=True),
            ),
            width=4,
            height=5,
            decimals=2,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Per answered request",
            "USD for each request that was answered, over the time shown; what failed attempts cost is in it.",
            "currencyUSD",
            (
                Query(
                    f"{grown('pointsman_cost_usd_total{*}')} / ({grown(ANSWERED)} > 0)",
                    instant=True,
                ),
            ),
            width=4,
            height=5,
            decimals=5,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Against the day before",
            "The last 24 hours beside the 24 before: 0 % is no change.",
            "percentunit",
            (
                Query(
                    "sum(increase(pointsman_cost_usd_total{**}[1d])) / "
                    "(sum(increase(pointsman_cost_usd_total{**}[1d] offset 1d)) > 0) - 1",
                    instant=True,
                    empty=_A_DAY,
                ),
            ),
            width=4,
            height=5,
            decimals=0,
            steps=up_to((0.25, YELLOW), (1, RED)),
            none_text="no day before",
            trend=False,
        ),
    ),
)
_WHO: Final = Row(
    "Who spent it?",
    (
        Panel(
            Show.GRAPH,
            "Teams, USD per hour",
            "What the ten dearest teams spend. `none` are keys without a team.",
            "currencyUSD",
            (Query(top(10, f"3600 * {rate(TEAM_COST, 'team')}"), "{{team}}", empty="nobody spends anything"),),
            width=12,
            height=9,
            stacked=True,
            calcs=("mean", "max", "lastNotNull"),
        ),
        Panel(
            Show.TABLE,
            "Chargeback by team",
            "What each team spent over the time shown and what it got for it. `pointsman usage --by team` says the "
            "same from the ledger, to the nano-USD.",
            "currencyUSD",
            (
                Query(top(10, grown(TEAM_COST, "team")), instant=True, empty="nobody spent anything"),
                Query(grown(_TEAM_TOKENS, "team"), instant=True),
                Query(grown('pointsman_team_requests_total{**,outcome="ok"}', "team"), instant=True),
                Query(f"1e6 * {grown(TEAM_COST, 'team')} / ({grown(_TEAM_TOKENS, 'team')} > 0)", instant=True),
            ),
            width=12,
            height=9,
            columns=(
                Column("team", "Team", links=(_TO_BUDGETS, _TO_REQUESTS)),
                Column("Value #A", "Spent", unit="currencyUSD", decimals=2, bar=True),
                Column("Value #B", "Tokens", unit="short", decimals=1),
                Column("Value #C", "Answered", unit="short", decimals=0),
                Column("Value #D", "Per 1M tokens", unit="currencyUSD", decimals=2),
            ),
            sort_by="Spent",
        ),
    ),
)
_WHAT: Final = Row(
    "What was it spent on?",
    (
        Panel(
            Show.GRAPH,
            "Models, USD per hour",
            "What each model costs, as its providers name it.",
            "currencyUSD",
            (Query(f"3600 * {rate(COST, 'model')}", "{{model}}"),),
            stacked=True,
            calcs=("mean", "max", "lastNotNull"),
        ),
        Panel(
            Show.GRAPH,
            "Components, USD per hour",
            "Fresh input, cached input, writing to the providers' caches, output, fees per request, and tools such "
            "as web search.",
            "currencyUSD",
            (Query(f"3600 * {rate(COST, 'component')}", "{{component}}"),),
            stacked=True,
            calcs=("mean", "max", "lastNotNull"),
        ),
        Panel(
            Show.PIE,
            "Providers",
            "Who gets the money, over the time shown.",
            "currencyUSD",
            (Query(f"{grown(COST, 'provider')} > 0", "{{provider}}", instant=True, empty="nothing was spent"),),
            decimals=2,
        ),
        Panel(
            Show.TABLE,
            "Deployments",
            "What each deployment cost over the time shown, for how many tokens, and what a million of them came "
            "to. Two deployments of one model side by side show which is the cheaper.",
            "currencyUSD",
            (
                Query(grown(COST, "deployment, model, provider"), instant=True),
                Query(grown('pointsman_tokens_total{**,type="input"}', "deployment, model, provider"), instant=True),
                Query(grown(OUTPUT_TOKENS, "deployment, model, provider"), instant=True),
                Query(_overall(COST, TOKENS, "deployment, model, provider"), instant=True),
                Query(_overall(OUTPUT_COST, OUTPUT_TOKENS, "deployment, model, provider"), instant=True),
            ),
            width=16,
            height=9,
            columns=(
                Column("deployment", "Deployment"),
                Column("provider", "Provider"),
                Column("model", "Model", links=(_TO_MODEL,)),
                Column("Value #A", "Spent", unit="currencyUSD", decimals=2, bar=True),
                Column("Value #B", "Input tokens", unit="short", decimals=1),
                Column("Value #C", "Output tokens", unit="short", decimals=1),
                Column("Value #D", "Per 1M", unit="currencyUSD", decimals=2),
                Column("Value #E", "Per 1M output", unit="currencyUSD", decimals=2),
            ),
            sort_by="Spent",
        ),
        Panel(
            Show.BARS,
            "Grew most since the day before",
            "Models whose last 24 hours cost more than the 24 before, by how many USD: where a new bill comes from.",
            "currencyUSD",
            (
                Query(
                    top(
                        8,
                        "(sum by (model) (increase(pointsman_cost_usd_total{**}[1d])) - "
                        "sum by (model) (increase(pointsman_cost_usd_total{**}[1d] offset 1d)))",
                    ),
                    "{{model}}",
                    instant=True,
                    empty=_A_DAY,
                ),
            ),
            height=9,
            decimals=2,
            steps=up_to((10, YELLOW), (100, RED)),
            none_text="nothing grew, or there is no day before",
        ),
    ),
)
ROWS: Final = (_NOW, _WHO, _WHAT)
