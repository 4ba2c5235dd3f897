"""Spending, budgets and the bill: each alert where it must fire, and where it must not."""

from __future__ import annotations

from tests.dashboards.alert_cases import AT, JOB, Case, fires, silent

DAY = 1440
SPENT = f'pointsman_budget_spent_usd{{{AT},scope="team",id="t"}}'
LIMIT = f'pointsman_budget_limit_usd{{{AT},scope="team",id="t"}}'
REFUSED = f'pointsman_ratelimit_decisions_total{{{AT},scope="team",limit="cost",decision="denied"}}'
OTHER = f'pointsman_budget_spent_usd{{{JOB},instance="b",scope="team",id="t"}}'
TEAM = {"scope": "team", "id": "t"}
COST = f'pointsman_team_cost_usd_total{{{AT},team="t",model="m"}}'
KNOWN = {f"pointsman_build_info{{{AT}}}": f"1x{2 * DAY}"}
UNPRICED = f'pointsman_unpriced_requests_total{{{AT},provider="p",model="m",reason="no_price"}}'
REASON = {"provider": "p", "model": "m", "reason": "no_price"}
ESTIMATED = f'pointsman_estimated_usage_total{{{AT},provider="p",reason="disconnect"}}'
ATTEMPTS = f'pointsman_upstream_attempts_total{{{AT},provider="p",outcome="ok"}}'
IDLE, BUSY = (
    f'pointsman_local_gpu_cost_usd_total{{{AT},deployment="d",state="{state}"}}' for state in ("idle", "busy")
)
FAILED = f"pointsman_ledger_write_failures_total{{{AT}}}"
LAG = f"pointsman_ledger_lag_seconds{{{AT}}}"
UNSETTLED = f'pointsman_record_failures_total{{{AT},signal="ledger"}}'

CASES: tuple[Case, ...] = (
    fires(
        "PointsmanSpendSpike",
        "a loop spends a dollar a minute",
        {COST: f"0+0.05x{2 * DAY} 144+1x120"} | KNOWN | {f"pointsman_build_info{{{AT}}}": f"1x{2 * DAY + 200}"},
        "2940m",
        {"team": "t"},
    ),
    silent("PointsmanSpendSpike", "it spends as it did", {COST: f"0+1x{2 * DAY}"} | KNOWN, "2800m"),
    silent(
        "PointsmanSpendSpike",
        "three times of next to nothing",
        {COST: f"0+0.0005x{2 * DAY} 1.44+0.01x120", f"pointsman_build_info{{{AT}}}": f"1x{2 * DAY + 200}"},
        "2940m",
    ),
    silent(
        "PointsmanSpendSpike",
        "the gateway is new, so nothing is usual yet",
        {COST: "0+1x120", f"pointsman_build_info{{{AT}}}": "1x120"},
        "110m",
    ),
    silent(
        "PointsmanSpendSpike",
        "a restart sets counters back",
        {COST: f"0+1x{2 * DAY - 60} 0+1x120", f"pointsman_build_info{{{AT}}}": f"1x{2 * DAY + 200}"},
        "2870m",
    ),
    fires(
        "PointsmanBudgetForecastExceeded",
        "sixty of a hundred, and twenty more each hour",
        {SPENT: "40+0.3333x300", LIMIT: "100x300"},
        "80m",
        TEAM,
    ),
    silent(
        "PointsmanBudgetForecastExceeded",
        "the same pace with most of it left",
        {SPENT: "0+0.3333x300", LIMIT: "100x300"},
        "80m",
    ),
    silent(
        "PointsmanBudgetForecastExceeded",
        "much is spent, and hardly anything more",
        {SPENT: "90+0.001x300", LIMIT: "100x300"},
        "80m",
    ),
    silent(
        "PointsmanBudgetForecastExceeded",
        "a window has just begun anew",
        {SPENT: "50+0.5x60 0+0.01x240", LIMIT: "100x300"},
        "110m",
    ),
    silent(
        "PointsmanBudgetForecastExceeded",
        "it is spent already, which another alert tells",
        {SPENT: "100+0.5x300", LIMIT: "100x300"},
        "80m",
    ),
    fires("PointsmanBudgetExhausted", "it is spent", {SPENT: "80+1x100", LIMIT: "100x100"}, "40m", TEAM),
    fires(
        "PointsmanBudgetExhausted",
        "what is left is less than a call may cost, so calls are refused",
        {SPENT: "90x100", LIMIT: "100x100", REFUSED: "0+1x100"},
        "40m",
        TEAM,
    ),
    silent(
        "PointsmanBudgetExhausted",
        "nine tenths are spent",
        {SPENT: "90x100", LIMIT: "100x100", REFUSED: "7x100"},
        "40m",
    ),
    silent(
        "PointsmanBudgetExhausted",
        "half is spent, and another team is refused",
        {SPENT: "50x100", LIMIT: "100x100", REFUSED: "0+1x100"},
        "40m",
    ),
    fires(
        "PointsmanBudgetExhausted",
        "two gateways share it, and one knows later",
        {SPENT: "80x100", OTHER: "100x100", LIMIT: "100x100"},
        "40m",
        TEAM,
    ),
    silent(
        "PointsmanBudgetExhausted",
        "two gateways share it: their numbers are not added",
        {SPENT: "60x100", OTHER: "60x100", LIMIT: "100x100"},
        "40m",
    ),
    silent("PointsmanBudgetExhausted", "a window has just begun anew", {SPENT: "100x20 0x80", LIMIT: "100x100"}, "40m"),
    fires(
        "PointsmanGpuIdleCost",
        "two dollars an hour for nobody",
        {IDLE: f"0+0.0333x{2 * DAY}", BUSY: f"0+0.0001x{2 * DAY}"},
        "2800m",
        {"deployment": "d"},
    ),
    silent(
        "PointsmanGpuIdleCost",
        "half of it is used",
        {IDLE: f"0+0.0166x{2 * DAY}", BUSY: f"0+0.0166x{2 * DAY}"},
        "2800m",
    ),
    silent("PointsmanGpuIdleCost", "cheap hardware", {IDLE: f"0+0.0001x{2 * DAY}", BUSY: f"0x{2 * DAY}"}, "2800m"),
    fires("PointsmanUnpricedTraffic", "one attempt, the first of its kind", {UNPRICED: "_x20 1x60"}, "30m", REASON),
    fires("PointsmanUnpricedTraffic", "attempts of a kind that was there", {UNPRICED: "5x20 6+1x60"}, "30m", REASON),
    silent("PointsmanUnpricedTraffic", "they came hours ago", {UNPRICED: "5x300"}, "200m"),
    silent("PointsmanUnpricedTraffic", "a restart sets counters back", {UNPRICED: "5x100 0x100"}, "105m"),
    silent("PointsmanUnpricedTraffic", "everything has a price", {}, "30m"),
    fires(
        "PointsmanEstimatedUsageHigh",
        "a third is estimated",
        {ESTIMATED: "0+20x120", ATTEMPTS: "0+60x120"},
        "90m",
        {"provider": "p"},
    ),
    silent(
        "PointsmanEstimatedUsageHigh", "a hundredth is estimated", {ESTIMATED: "0+1x120", ATTEMPTS: "0+100x120"}, "90m"
    ),
    silent(
        "PointsmanEstimatedUsageHigh",
        "all of very few are estimated",
        {ESTIMATED: "0+0.1x120", ATTEMPTS: "0+0.1x120"},
        "90m",
    ),
    fires(
        "PointsmanLedgerWriteFailing", "writes fail for ten minutes", {FAILED: "0x5 1+1x40"}, "20m", {"instance": "a"}
    ),
    fires(
        "PointsmanLedgerWriteFailing", "rows wait for a quarter of an hour", {LAG: "0+60x40"}, "30m", {"instance": "a"}
    ),
    silent("PointsmanLedgerWriteFailing", "it failed once, an hour ago", {FAILED: "0x5 1x100", LAG: "1x100"}, "70m"),
    silent("PointsmanLedgerWriteFailing", "a restart sets counters back", {FAILED: "7x30 0x60"}, "35m"),
    fires(
        "PointsmanSettlementFailing", "a call could not be settled", {UNSETTLED: "_x20 1x60"}, "30m", {"instance": "a"}
    ),
    silent("PointsmanSettlementFailing", "all calls were settled", {UNSETTLED: "0x60"}, "30m"),
    fires(
        "PointsmanLedgerDiffers",
        "the counters have a cent less",
        {f"pointsman_ledger_metric_difference_usd{{{AT}}}": "0x5 -0.01x60"},
        "30m",
        {"instance": "a"},
    ),
    silent(
        "PointsmanLedgerDiffers",
        "rows are a minute behind, once",
        {f"pointsman_ledger_metric_difference_usd{{{AT}}}": "0x5 0.01 0x60"},
        "30m",
    ),
    fires(
        "PointsmanSpendCaptureLow",
        "the ledger has nine tenths",
        {f'pointsman_spend_capture_ratio{{{AT},provider="p"}}': "0.9x120"},
        "80m",
        {"provider": "p"},
    ),
    silent(
        "PointsmanSpendCaptureLow",
        "the ledger has nearly all",
        {f'pointsman_spend_capture_ratio{{{AT},provider="p"}}': "0.99x120"},
        "80m",
    ),
    silent("PointsmanSpendCaptureLow", "no invoice was noted", {}, "80m"),
    fires(
        "PointsmanPriceTableStale",
        "it is forty days old",
        {f"pointsman_price_table_age_seconds{{{AT}}}": "3456000+60x120"},
        "80m",
        {},
    ),
    silent(
        "PointsmanPriceTableStale",
        "it is a week old",
        {f"pointsman_price_table_age_seconds{{{AT}}}": "604800+60x120"},
        "80m",
    ),
)
