"""Who is refused, by which limit, and whose budget ends when."""

from __future__ import annotations

from typing import Final

from dashboards.boards.moments import CHANGES
from dashboards.building.promql import grown, mean, or_zero, part, quantile, rate, top
from dashboards.building.values import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Board,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
    State,
    Variable,
    board_link,
    up_to,
)

DENIED: Final = 'pointsman_ratelimit_decisions_total{*,decision="denied"}'
DECIDED: Final = "pointsman_ratelimit_decisions_total{*}"
_USED: Final = (
    "max by (scope, id) (pointsman_budget_spent_usd{*}) / (max by (scope, id) (pointsman_budget_limit_usd{*}) > 0)"
)
_LEFT: Final = "max by (scope, id) (pointsman_budget_limit_usd{*}) - max by (scope, id) (pointsman_budget_spent_usd{*})"
_PACE: Final = "(max by (scope, id) (deriv(pointsman_budget_spent_usd{*}[1h])) > 0)"
_NO_BUDGETS: Final = "no team or org has a budget"
_NOBODY: Final = "nobody was denied"
_SHARED: Final = "limits are kept in this process"
_TO_COST: Final = board_link("pointsman-cost", "What this team spends", "var-team=${__data.fields.Team}")
_NOW: Final = Row(
    "Whom do limits refuse?",
    (
        Panel(
            Show.STAT,
            "Denied",
            "Requests that were refused over the time shown for a rate limit or a budget, as a share of all.",
            "percentunit",
            (
                Query(
                    part(
                        grown('pointsman_requests_total{*,outcome=~"denied_rate|denied_budget"}'),
                        grown("pointsman_requests_total{*}"),
                    ),
                    instant=True,
                ),
            ),
            width=6,
            height=4,
            decimals=2,
            steps=up_to((0.01, YELLOW), (0.1, RED)),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Budgets spent",
            "Budgets of teams and orgs that are used to 99 %: their callers hear 429 until the window ends. The last "
            "cent is hardly ever spent, since a call that may cost more than is left is refused.",
            "short",
            (Query(or_zero(f"count({_USED} >= 0.99)")),),
            width=6,
            height=4,
            decimals=0,
            steps=up_to((1, RED)),
        ),
        Panel(
            Show.STAT,
            "Decided without the shared store",
            "Reservations over the time shown that a gateway decided by itself since Redis was away: fail-open, so "
            "that limits may have been passed.",
            "short",
            (Query(or_zero(grown("pointsman_limit_degraded_decisions_total{*}")), instant=True),),
            width=6,
            height=4,
            decimals=0,
            steps=up_to((1, ORANGE)),
            trend=False,
        ),
        Panel(
            Show.STAT,
            "Asking the limits, p99",
            "What asking the limits adds to 99 of 100 requests; the wait for a turn is not in it.",
            "s",
            (Query(quantile(0.99, "pointsman_ratelimit_check_seconds")),),
            width=6,
            height=4,
            steps=up_to((0.005, YELLOW), (0.05, RED)),
        ),
        Panel(
            Show.GRAPH,
            "Denials by whose limit",
            "Reservations refused per second, by whose use is limited and what is counted. One of a deployment or "
            "provider only moves a call on.",
            "cps",
            (Query(rate(DENIED, "scope, limit"), "{{scope}}: {{limit}}", empty=_NOBODY),),
            stacked=True,
        ),
        Panel(
            Show.GRAPH,
            "Decisions",
            "What limits said per second.",
            "cps",
            (Query(rate(DECIDED, "decision"), "{{decision}}"),),
            stacked=True,
            overrides=(Override("allowed", GREEN), Override("denied", RED)),
        ),
        Panel(
            Show.TABLE,
            "Teams denied most",
            "Requests of each team that were refused over the time shown for a rate limit or a budget, and what "
            "share that is.",
            "short",
            (
                Query(
                    top(10, grown('pointsman_team_requests_total{**,outcome="denied_rate"}', "team")),
                    instant=True,
                    empty=_NOBODY,
                ),
                Query(
                    top(10, grown('pointsman_team_requests_total{**,outcome="denied_budget"}', "team")),
                    instant=True,
                    empty=_NOBODY,
                ),
                Query(
                    f"""{grown('pointsman_team_requests_total{**,outcome=~"denied_rate|denied_budget"}', "team")} / """
                    f"({grown('pointsman_team_requests_total{**}', 'team')} > 0) > 0",
                    instant=True,
                    empty=_NOBODY,
                ),
            ),
            columns=(
                Column("team", "Team", links=(_TO_COST,)),
                Column("Value #A", "Rate", unit="short", decimals=0),
                Column("Value #B", "Budget", unit="short", decimals=0),
                Column(
                    "Value #C",
                    "Of its requests",
                    unit="percentunit",
                    decimals=1,
                    steps=up_to((0.1, YELLOW), (0.5, RED)),
                ),
            ),
            none_text="nobody was denied",
        ),
    ),
)
_BUDGETS: Final = Row(
    "Whose budget ends when?",
    (
        Panel(
            Show.TABLE,
            "Budgets",
            "Each budget with what is spent and reserved of it, and when it ends if spending goes on as in the last "
            "hour. Workers and gateways share a budget, so the largest of their numbers is shown, not the sum.",
            "currencyUSD",
            (
                Query("max by (scope, id) (pointsman_budget_limit_usd{*})", instant=True, empty=_NO_BUDGETS),
                Query("max by (scope, id) (pointsman_budget_spent_usd{*})", instant=True, empty=_NO_BUDGETS),
                Query("max by (scope, id) (pointsman_budget_reserved_usd{*})", instant=True, empty=_NO_BUDGETS),
                Query(_USED, instant=True, empty=_NO_BUDGETS),
                Query(f"clamp_min({_LEFT}, 0) / {_PACE}", instant=True, empty="no budget is being spent"),
            ),
            width=16,
            height=9,
            columns=(
                Column("scope", "Scope"),
                Column("id", "Whose"),
                Column("Value #A", "Budget", unit="currencyUSD", decimals=2),
                Column("Value #B", "Spent", unit="currencyUSD", decimals=2),
                Column("Value #C", "Reserved", unit="currencyUSD", decimals=2),
                Column(
                    "Value #D",
                    "Used",
                    unit="percentunit",
                    decimals=0,
                    steps=up_to((0.8, YELLOW), (0.95, ORANGE), (1, RED)),
                    bar=True,
                ),
                Column("Value #E", "Ends in", unit="dtdurations", decimals=0),
            ),
            sort_by="Used",
            none_text="no team or org has a budget",
        ),
        Panel(
            Show.GRAPH,
            "Budget used",
            "How much of each budget is spent. It falls where a window ends and another begins.",
            "percentunit",
            (Query(_USED, "{{scope}} {{id}}", empty=_NO_BUDGETS),),
            height=9,
            steps=up_to((1, RED)),
            steps_shown=True,
            calcs=("lastNotNull", "max"),
        ),
        Panel(
            Show.GRAPH,
            "Reserved beside spent",
            "What calls under way hold of all budgets, beside what is spent. Much reserved and little spent: "
            "callers ask for far more output than they use, and others are refused for it.",
            "currencyUSD",
            (
                Query("sum(max by (scope, id) (pointsman_budget_spent_usd{*}))", "spent", empty=_NO_BUDGETS),
                Query("sum(max by (scope, id) (pointsman_budget_reserved_usd{*}))", "reserved", empty=_NO_BUDGETS),
            ),
            overrides=(Override("reserved", YELLOW),),
        ),
        Panel(
            Show.GRAPH,
            "Denied for a budget, by team",
            "Requests per second that were refused since a budget is spent.",
            "reqps",
            (
                Query(
                    f"""{rate('pointsman_team_requests_total{**,outcome="denied_budget"}', "team")} > 0""",
                    "{{team}}",
                    empty=_NOBODY,
                ),
            ),
        ),
        Panel(
            Show.GRAPH,
            "Denied for a rate, by team",
            "Requests per second that were refused for a limit on requests, tokens or calls at once.",
            "reqps",
            (
                Query(
                    f"""{rate('pointsman_team_requests_total{**,outcome="denied_rate"}', "team")} > 0""",
                    "{{team}}",
                    empty=_NOBODY,
                ),
            ),
        ),
    ),
)
_STORE: Final = Row(
    "Do limits hold?",
    (
        Panel(
            Show.GRAPH,
            "Asking the limits",
            "What asking the limits takes: half and 99 of 100, and the mean of those that were denied.",
            "s",
            (
                Query(quantile(0.5, "pointsman_ratelimit_check_seconds"), "p50"),
                Query(quantile(0.99, "pointsman_ratelimit_check_seconds"), "p99"),
                Query(
                    mean("pointsman_ratelimit_check_seconds", "", '{*,decision="denied"}'),
                    "denied, mean",
                    empty=_NOBODY,
                ),
            ),
        ),
        Panel(
            Show.STATES,
            "Shared store",
            "Whether this gateway decides with the shared store, or by itself since that is away.",
            "none",
            (Query("max by (instance) (pointsman_limit_store_degraded{*})", "{{instance}}", empty=_SHARED),),
            states=(State(0, "shared", GREEN), State(1, "by itself", ORANGE)),
            steps=up_to((1, ORANGE)),
        ),
        Panel(
            Show.GRAPH,
            "Store failures",
            "Questions per second that the shared store did not answer, and decisions that were made without it.",
            "cps",
            (
                Query(rate("pointsman_limit_store_failures_total{*}"), "not answered", empty=_SHARED),
                Query(rate("pointsman_limit_degraded_decisions_total{*}"), "decided without it", empty=_SHARED),
                Query(rate("pointsman_limit_settlements_lost_total{*}"), "settlements given up", empty=_SHARED),
            ),
        ),
        Panel(
            Show.GRAPH,
            "Reservations held",
            "Reservations of calls under way, and settlements that wait for the store. What is never given back "
            "shows here.",
            "short",
            (
                Query("sum by (instance) (pointsman_limit_reservations{*})", "{{instance}}: held"),
                Query(
                    "sum by (instance) (pointsman_limit_settlements_unsent{*})", "{{instance}}: unsent", empty=_SHARED
                ),
            ),
            decimals=0,
        ),
        Panel(
            Show.GRAPH,
            "Store against ledger",
            "How far the worst budget in the store was from the ledger, and budgets that were set right per hour.",
            "percentunit",
            (
                Query("max(pointsman_limit_drift_ratio{*})", "worst drift", empty=_NO_BUDGETS),
                Query(
                    f"3600 * {rate('pointsman_limit_corrections_total{*}')}", "corrections per hour", empty=_NO_BUDGETS
                ),
            ),
            decimals=2,
            overrides=(Override("corrections per hour", YELLOW, right_unit="short"),),
        ),
        Panel(
            Show.GRAPH,
            "Replays of Idempotency-Keys",
            "Calls per second whose key was sent before, by what became of them, and what the answers kept for them "
            "take.",
            "cps",
            (
                Query(
                    rate("pointsman_idempotent_replays_total{*}", "outcome"),
                    "{{outcome}}",
                    empty="no key was sent twice",
                ),
                Query("sum(pointsman_idempotent_answers_bytes{*})", "answers kept"),
                Query("sum(pointsman_idempotent_answers_unsent{*})", "answers unsent", empty=_SHARED),
            ),
            overrides=(
                Override("answers kept", BLUE, right_unit="bytes"),
                Override("answers unsent", YELLOW, right_unit="short"),
            ),
        ),
    ),
    folded=False,
)
BOARD: Final = Board(
    uid="pointsman-limits",
    title="Pointsman / Limits and budgets",
    about="Who is refused and by which limit, whose budget ends when, and whether limits hold.",
    rows=(_NOW, _BUDGETS, _STORE),
    variables=(Variable("team", "team", "pointsman_team_requests_total", "Teams; `none` are keys without one."),),
    notes=CHANGES,
    tags=("cost", "limits"),
)
