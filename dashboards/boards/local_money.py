"""The local board's first rows: how busy the hardware is, what a token costs on it, and what is charged for it."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import grown, rate, top
from dashboards.building.values import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
    up_to,
)

_SECONDS: Final = "pointsman_local_gpu_seconds_total{**}"
_BUSY: Final = 'pointsman_local_gpu_seconds_total{**,state="busy"}'
_FULL_COST: Final = "pointsman_local_gpu_cost_usd_total{**}"
_IDLE_COST: Final = 'pointsman_local_gpu_cost_usd_total{**,state="idle"}'
_CHARGED: Final = "pointsman_cost_usd_total{**}"
_TOKENS: Final = 'pointsman_tokens_total{**,type=~"input|output"}'
_NO_PRICE: Final = "no provider or deployment says what its hardware costs (gpu)"
_IDLE_GPU: Final = "nothing was computed in the time shown"


def _busy(made: str) -> str:
    """`made` is `rate` or `increase` with its window."""
    function, window = made.split("[")
    return (
        f"sum by (deployment) ({function}({_BUSY}[{window})) / "
        f"(sum by (deployment) ({function}({_SECONDS}[{window})) > 0)"
    )


def _charged(function: str, window: str) -> str:
    """What callers were charged, at deployments whose hardware has a price only."""
    return (
        f"(sum by (deployment) ({function}({_CHARGED}[{window}])) and on (deployment) "
        f"group by (deployment) ({_FULL_COST}))"
    )


def _full(function: str, window: str) -> str:
    return f"sum by (deployment) ({function}({_FULL_COST}[{window}]))"


def _tokens(function: str, window: str) -> str:
    return f"(sum by (deployment) ({function}({_TOKENS}[{window}])) > 0)"


_RATE: Final = ("rate", "$__rate_interval")
_RANGE: Final = ("increase", "$__range")
_COST: Final = Row(
    "What does a token really cost here?",
    (
        Panel(
            Show.STAT,
            "Busy",
            "Share of the hardware's time in which it computed for somebody, over the time shown. Nothing moves the "
            "price of a token as much as this.",
            "percentunit",
            (Query(f"{grown(_BUSY)} / ({grown(_SECONDS)} > 0)", instant=True, empty=_NO_PRICE),),
            width=4,
            height=5,
            decimals=0,
            steps=up_to((0.2, YELLOW), (0.5, GREEN), first=RED),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Full cost",
            "What the hardware cost over the time shown, busy and idle, by its price per hour.",
            "currencyUSD",
            (Query(grown(_FULL_COST), instant=True, empty=_NO_PRICE),),
            width=4,
            height=5,
            decimals=2,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Of it idle",
            "What the hardware cost over the time shown while nobody used it. It is charged to nobody.",
            "currencyUSD",
            (Query(grown(_IDLE_COST), instant=True, empty=_NO_PRICE),),
            width=4,
            height=5,
            decimals=2,
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Variance",
            "Full cost less what callers were charged, over the time shown. Above 0 the hardware costs more than "
            "its charge price brings in: raise the price, or the use.",
            "currencyUSD",
            (Query(f"sum({_full(*_RANGE)}) - sum({_charged(*_RANGE)})", instant=True, empty=_NO_PRICE),),
            width=4,
            height=5,
            decimals=2,
            steps=up_to((0.01, ORANGE)),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "USD per 1M tokens",
            "A million tokens over the time shown: by the full cost of the hardware, and as it was charged.",
            "currencyUSD",
            (
                Query(f"1e6 * sum({_full(*_RANGE)}) / sum({_tokens(*_RANGE)})", "full", instant=True, empty=_NO_PRICE),
                Query(
                    f"1e6 * sum({_charged(*_RANGE)}) / sum({_tokens(*_RANGE)})",
                    "charged",
                    instant=True,
                    empty=_NO_PRICE,
                ),
            ),
            width=8,
            height=5,
            decimals=3,
            trend=False,
        ),
        Panel(
            Show.GRAPH,
            "Effective USD per 1M tokens",
            "A million tokens by the full cost of the hardware, idle time included, beside what is charged for "
            "them. Where the lines cross is the use at which the charge price is right.",
            "currencyUSD",
            (
                Query(f"1e6 * {_full(*_RATE)} / {_tokens(*_RATE)}", "{{deployment}}: full", empty=_NO_PRICE),
                Query(f"1e6 * {_charged(*_RATE)} / {_tokens(*_RATE)}", "{{deployment}}: charged", empty=_NO_PRICE),
            ),
            decimals=3,
            overrides=(Override(".*: charged", BLUE, dashed=True),),
            log_scale=True,
            least=0.0001,
        ),
        Panel(
            Show.GRAPH,
            "Full cost, USD per hour",
            "What the hardware costs, by whether it computed for somebody.",
            "currencyUSD",
            (
                Query(f"3600 * {rate(_FULL_COST, 'state')}", "{{state}}", empty=_NO_PRICE),
                Query(f"3600 * sum({_charged(*_RATE)})", "charged", empty=_NO_PRICE),
            ),
            decimals=2,
            stacked=True,
            overrides=(Override("busy", GREEN), Override("idle", GREY), Override("charged", BLUE, unstacked=True)),
        ),
        Panel(
            Show.TABLE,
            "Variance by deployment",
            "Full cost, what was charged, and the difference, over the time shown.",
            "currencyUSD",
            (
                Query(_full(*_RANGE), instant=True, empty=_NO_PRICE),
                Query(_charged(*_RANGE), instant=True, empty=_NO_PRICE),
                Query(f"{_full(*_RANGE)} - on (deployment) {_charged(*_RANGE)}", instant=True, empty=_NO_PRICE),
                Query(_busy("increase[$__range]"), instant=True, empty=_NO_PRICE),
                Query(f"1e6 * {_full(*_RANGE)} / {_tokens(*_RANGE)}", instant=True, empty=_NO_PRICE),
            ),
            columns=(
                Column("deployment", "Deployment"),
                Column("Value #A", "Full", unit="currencyUSD", decimals=3),
                Column("Value #B", "Charged", unit="currencyUSD", decimals=3),
                Column("Value #C", "Variance", unit="currencyUSD", decimals=3, steps=up_to((0.01, ORANGE))),
                Column("Value #D", "Busy", unit="percentunit", decimals=0),
                Column("Value #E", "Per 1M", unit="currencyUSD", decimals=3),
            ),
            sort_by="Variance",
            none_text="no hardware has a price",
        ),
        Panel(
            Show.GRAPH,
            "Busy share",
            "Share of the hardware's time in which it computed for somebody.",
            "percentunit",
            (Query(_busy("rate[$__rate_interval]"), "{{deployment}}", empty=_NO_PRICE),),
            width=12,
            most=1,
        ),
        Panel(
            Show.GRAPH,
            "Compute time by team",
            "The bundled engine's time, shared among those in each step by what they had of it: 1 is an engine that "
            "does nothing else.",
            "short",
            (Query(top(10, rate("pointsman_local_compute_seconds_total{**}", "team")), "{{team}}", empty=_IDLE_GPU),),
            width=12,
            stacked=True,
            decimals=2,
        ),
    ),
)
ROWS: Final = (_COST,)
