"""Alerts on money: spending that jumps, budgets that end, and numbers that cannot be trusted."""

from __future__ import annotations

from typing import Final

from dashboards.alerting.values import Alert, Group, Severity, above, grew, promql

_COST: Final = "pointsman-cost"
_LIMITS: Final = "pointsman-limits"
_OVERVIEW: Final = "pointsman-overview"
SPIKE_USD: Final = 10
"""A spike of less than this in an hour is not worth anybody's time."""
IDLE_USD_A_DAY: Final = 10
_REFUSED: Final = 'pointsman_ratelimit_decisions_total{limit="cost",decision="denied"}'
_SPENT: Final = "max by (job, scope, id) (pointsman_budget_spent_usd)"
_IDLE: Final = 'sum by (job, deployment) (increase(pointsman_local_gpu_cost_usd_total{state="idle"}[1d]))'
_LIMIT: Final = "max by (job, scope, id) (pointsman_budget_limit_usd)"

SPENDING: Final = Group(
    "pointsman-spending",
    "How much is spent.",
    (
        Alert(
            "PointsmanSpendSpike",
            promql(f"""
                sum by (job, team) (increase(pointsman_team_cost_usd_total[1h]))
                > 3 * sum by (job, team) (increase(pointsman_team_cost_usd_total[1d])) / 24
                and
                sum by (job, team) (increase(pointsman_team_cost_usd_total[1h])) > {SPIKE_USD}
                and on (job)
                group by (job) (pointsman_build_info offset 1d)
            """),
            "5m",
            Severity.TICKET,
            "Team {{ $labels.team }} spent {{ $value | humanize }} USD in an hour, more than three times its mean.",
            "Either the team does more, or a loop does. It is told only where a day of history says what is usual.",
            _COST,
            "Teams, USD per hour",
        ),
        Alert(
            "PointsmanBudgetForecastExceeded",
            promql(f"""
                predict_linear(({_SPENT})[1h:1m], 4 * 3600) > {_LIMIT}
                and
                {_SPENT} < {_LIMIT}
                and
                {_SPENT} > 0.5 * {_LIMIT}
            """),
            "15m",
            Severity.TICKET,
            "The budget of {{ $labels.scope }} {{ $labels.id }} will be spent within four hours.",
            "At the pace of the last hour it would come to {{ $value | humanize }} USD by then.",
            _LIMITS,
            "Budgets",
        ),
        Alert(
            "PointsmanBudgetExhausted",
            promql(f"""
                (
                  {_SPENT} >= 0.99 * {_LIMIT}
                  or
                  {_SPENT} >= 0.8 * {_LIMIT}
                  and on (job, scope)
                  sum by (job, scope) (increase({_REFUSED}[5m])) > 0
                )
                and
                {_LIMIT} > 0
            """),
            "1m",
            Severity.TICKET,
            "The budget of {{ $labels.scope }} {{ $labels.id }} is spent: {{ $value | humanize }} USD.",
            "Less is left than a call may cost: its callers hear 429 until the window ends or the budget is raised.",
            _LIMITS,
            "Budgets",
        ),
        Alert(
            "PointsmanGpuIdleCost",
            promql(f"""
                {_IDLE} > 0.8 * sum by (job, deployment) (increase(pointsman_local_gpu_cost_usd_total[1d]))
                and
                {_IDLE} > {IDLE_USD_A_DAY}
            """),
            "1h",
            Severity.TICKET,
            "Hardware of {{ $labels.deployment }} stood idle for {{ $value | humanize }} USD in a day.",
            "More than four fifths of what it costs is charged to nobody.",
            "pointsman-local",
            "Full cost, USD per hour",
        ),
    ),
)
BILL: Final = Group(
    "pointsman-bill",
    "Whether the bill is right.",
    (
        Alert(
            "PointsmanUnpricedTraffic",
            grew("pointsman_unpriced_requests_total", "job, provider, model, reason", "15m"),
            "0m",
            Severity.TICKET,
            "Attempts at {{ $labels.model }} of {{ $labels.provider }} have no cost: {{ $labels.reason }}.",
            "They used tokens and are in no sum and no budget.",
            _COST,
            "Unpriced, by model",
        ),
        Alert(
            "PointsmanEstimatedUsageHigh",
            above(
                "sum by (job, provider) (rate(pointsman_estimated_usage_total[30m]))",
                "sum by (job, provider) (rate(pointsman_upstream_attempts_total[30m]))",
                0.1,
                0.02,
            ),
            "30m",
            Severity.TICKET,
            "{{ $value | humanizePercentage }} of attempts at {{ $labels.provider }} are charged by an estimate.",
            "The provider does not tell usage, or callers leave before it does.",
            _COST,
            "Estimated usage by provider",
        ),
        Alert(
            "PointsmanLedgerWriteFailing",
            promql("""
                sum by (job, instance) (increase(pointsman_ledger_write_failures_total[10m])) > 0
                or
                max by (job, instance) (pointsman_ledger_lag_seconds) > 600
            """),
            "5m",
            Severity.PAGE,
            "{{ $labels.instance }} cannot write its ledger.",
            "Rows wait in the journal and are not lost, until that is full: then calls are refused, or rows are.",
            _OVERVIEW,
            "Ledger writes failed",
        ),
        Alert(
            "PointsmanSettlementFailing",
            grew("pointsman_record_failures_total", "job, instance", "15m"),
            "0m",
            Severity.PAGE,
            "{{ $labels.instance }} could not settle calls: their cost is told nowhere.",
            "A bug: the log has the exception.",
            _OVERVIEW,
            "Calls not settled",
        ),
        Alert(
            "PointsmanLedgerDiffers",
            "max by (job, instance) (abs(pointsman_ledger_metric_difference_usd)) > 0.000001",
            "10m",
            Severity.TICKET,
            "Cost counters and ledger of {{ $labels.instance }} differ by {{ $value | humanize }} USD.",
            "They are the same nano-USD unless there is a bug. The ledger is the bill.",
            _COST,
            "Ledger against counters",
        ),
        Alert(
            "PointsmanSpendCaptureLow",
            "min by (job, provider) (pointsman_spend_capture_ratio) < 0.97",
            "1h",
            Severity.TICKET,
            "The ledger has only {{ $value | humanizePercentage }} of what {{ $labels.provider }} billed.",
            "Somebody spends past the gateway, or prices or counts are wrong.",
            _COST,
            "Charged against the provider's bill",
        ),
        Alert(
            "PointsmanPriceTableStale",
            "max by (job) (pointsman_price_table_age_seconds) > 30 * 86400",
            "1h",
            Severity.TICKET,
            "The price table is {{ $value | humanizeDuration }} old.",
            "Providers have changed prices since: what is charged may be wrong.",
            _COST,
            "Age of the price table",
        ),
    ),
)
