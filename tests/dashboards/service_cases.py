"""Gateways, workers, providers and deployments: each alert where it must fire, and where it must not."""

from __future__ import annotations

from tests.dashboards.alert_cases import AT, JOB, Case, fires, silent

ATTEMPTS = "pointsman_upstream_attempts_total"
INFO = {f'pointsman_build_info{{{AT},version="1"}}': "1x100"}
OPEN = f'pointsman_circuit_state{{{AT},deployment="d"}}'


def attempts(provider: str = "p", deployment: str = "d", model: str = "m", **by_outcome: str) -> dict[str, str]:
    where = f'provider="{provider}",deployment="{deployment}",model="{model}"'
    return {f'{ATTEMPTS}{{{AT},{where},outcome="{outcome}"}}': values for outcome, values in by_outcome.items()}


def lag(slow: str) -> dict[str, str]:
    name = f'pointsman_event_loop_lag_seconds_bucket{{{AT},worker="0",le='
    return {f'{name}"0.1"}}': "0+90x60", f'{name}"0.25"}}': slow, f'{name}"+Inf"}}': slow}


def overhead(slow: str, fast: str) -> dict[str, str]:
    name = f'pointsman_overhead_seconds_bucket{{{AT},route="r",le='
    count = {f'pointsman_overhead_seconds_count{{{AT},route="r"}}': slow}
    return {f'{name}"0.05"}}': fast, f'{name}"0.1"}}': slow, f'{name}"+Inf"}}': slow} | count


def up(deployment: str, values: str) -> dict[str, str]:
    return {f'pointsman_deployment_up{{{AT},deployment="{deployment}"}}': values}


CASES: tuple[Case, ...] = (
    fires(
        "PointsmanMetricsDown",
        "a gateway stops to answer scrapes",
        {f"up{{{AT}}}": "1x10 0x60", f'pointsman_build_info{{{AT},version="1"}}': "1x10 stale"},
        "30m",
        {"instance": "a"},
    ),
    fires(
        "PointsmanMetricsDown",
        "one of two gateways stops",
        {
            f"up{{{AT}}}": "1x10 0x60",
            f'up{{{JOB},instance="b"}}': "1x70",
            f"pointsman_build_info{{{AT}}}": "1x10 stale",
            f'pointsman_build_info{{{JOB},instance="b"}}': "1x70",
        },
        "30m",
        {"instance": "a"},
    ),
    fires("PointsmanMetricsDown", "nothing was ever scraped", {}, "10m", {"job": ""}),
    silent("PointsmanMetricsDown", "a gateway is scraped", {f"up{{{AT}}}": "1x60"} | INFO, "30m"),
    silent(
        "PointsmanMetricsDown",
        "another job is down",
        {f"up{{{AT}}}": "1x60", 'up{job="node",instance="n"}': "0x60"} | INFO,
        "30m",
    ),
    silent("PointsmanMetricsDown", "one scrape fails", {f"up{{{AT}}}": "1x20 0 1x40"} | INFO, "22m"),
    fires(
        "PointsmanWorkerDown",
        "a worker is silent",
        {f'pointsman_worker_up{{{AT},worker="1"}}': "1x10 0x30"},
        "20m",
        {"instance": "a", "worker": "1"},
    ),
    silent("PointsmanWorkerDown", "workers are there", {f'pointsman_worker_up{{{AT},worker="1"}}': "1x40"}, "20m"),
    silent("PointsmanWorkerDown", "one process has none", INFO, "20m"),
    fires(
        "PointsmanWorkerCrashLoop",
        "a worker dies each third minute",
        {f'pointsman_worker_restarts_total{{{AT},worker="0"}}': "0x5 1x3 2x3 3x3 4x3 5x3 6x3"},
        "22m",
        {"instance": "a"},
    ),
    silent(
        "PointsmanWorkerCrashLoop",
        "a worker died once",
        {f'pointsman_worker_restarts_total{{{AT},worker="0"}}': "0x5 1x30"},
        "22m",
    ),
    fires("PointsmanEventLoopLag", "a twentieth comes late", lag("0+95x60"), "30m", {"instance": "a", "worker": "0"}),
    silent("PointsmanEventLoopLag", "hardly anything comes late", lag("0+90.1x60"), "30m"),
    fires("PointsmanOverheadHigh", "a twentieth is held up", overhead("0+100x60", "0+95x60"), "40m", {}),
    silent("PointsmanOverheadHigh", "a twentieth of very little is held up", overhead("0+1x60", "0+0.9x60"), "40m"),
    silent("PointsmanOverheadHigh", "nothing is held up", overhead("0+100x60", "0+100x60"), "40m"),
    fires(
        "PointsmanShedding",
        "a tenth is refused at the door",
        {f"pointsman_shedding_ratio{{{AT}}}": "0x5 0.1x30"},
        "20m",
        {"instance": "a"},
    ),
    silent(
        "PointsmanShedding",
        "one crowd, two minutes long",
        {f"pointsman_shedding_ratio{{{AT}}}": "0x5 0.1x2 0x30"},
        "20m",
    ),
    fires(
        "PointsmanPolicySplit",
        "one gateway has not followed for an hour",
        {
            f'pointsman_config_info{{{AT},hash="x"}}': "1x90",
            f'pointsman_config_info{{{JOB},instance="b",hash="y"}}': "1x90",
        },
        "60m",
        {},
    ),
    silent(
        "PointsmanPolicySplit",
        "a roll-out of five minutes",
        {
            f'pointsman_config_info{{{AT},hash="x"}}': "1x90",
            f'pointsman_config_info{{{JOB},instance="b",hash="y"}}': "1x5 stale",
            f'pointsman_config_info{{{JOB},instance="b",hash="x"}}': "_x6 1x90",
        },
        "60m",
    ),
    fires(
        "PointsmanProviderDegraded",
        "half of its attempts fail",
        attempts(ok="0+30x60", status="0+15x60", rate_limited="0+15x60"),
        "20m",
        {"provider": "p"},
    ),
    silent("PointsmanProviderDegraded", "half of very few fail", attempts(ok="0+1x60", status="0+1x60"), "20m"),
    silent(
        "PointsmanProviderDegraded",
        "callers leave and hedges lose",
        attempts(ok="0+30x60", client_cancelled="0+30x60", hedge_lost="0+30x60"),
        "20m",
    ),
    silent(
        "PointsmanProviderDegraded",
        "a restart sets counters back",
        attempts(ok="0+60x15 0+60x45", status="100x15 0x45"),
        "20m",
    ),
    fires(
        "PointsmanCircuitOpen", "open, with probes between", {OPEN: "0x5 2x4 1 2x4 1 2x30"}, "30m", {"deployment": "d"}
    ),
    silent("PointsmanCircuitOpen", "open for a minute", {OPEN: "0x5 2 0x40"}, "30m"),
    fires(
        "PointsmanAllDeploymentsDown",
        "both deployments of a model are set aside",
        up("d", "1x5 0x30") | up("e", "1x9 0x30") | attempts(ok="0+1x60") | attempts(deployment="e", ok="0+1x60"),
        "20m",
        {"model": "m"},
    ),
    silent(
        "PointsmanAllDeploymentsDown",
        "one of two is left",
        up("d", "1x5 0x30") | up("e", "1x60") | attempts(ok="0+1x60") | attempts(deployment="e", ok="0+1x60"),
        "20m",
    ),
    silent(
        "PointsmanAllDeploymentsDown",
        "another gateway can still reach it",
        up("d", "0x60")
        | {f'pointsman_deployment_up{{{JOB},instance="b",deployment="d"}}': "1x60"}
        | attempts(ok="0x60")
        | {f'{ATTEMPTS}{{{JOB},instance="b",provider="p",deployment="d",model="m",outcome="ok"}}': "0x60"},
        "20m",
    ),
    silent("PointsmanAllDeploymentsDown", "no gateway tells anything", {}, "20m"),
    fires(
        "PointsmanCredentialRefused",
        "a key was revoked",
        {f'pointsman_key_up{{{AT},deployment="d",credential="main"}}': "1x5 0x30"},
        "20m",
        {"deployment": "d", "credential": "main"},
    ),
    silent(
        "PointsmanCredentialRefused",
        "keys are taken",
        {f'pointsman_key_up{{{AT},deployment="d",credential="main"}}': "1x40"},
        "20m",
    ),
    fires(
        "PointsmanFallbackStorm",
        "half of all requests move",
        {
            f'pointsman_fallbacks_total{{{AT},from_deployment="d",to_deployment="e",reason="status"}}': "0+30x60",
            f'pointsman_requests_total{{{AT},outcome="ok"}}': "0+60x60",
        },
        "40m",
        {},
    ),
    silent(
        "PointsmanFallbackStorm",
        "half of very few move",
        {
            f'pointsman_fallbacks_total{{{AT},from_deployment="d",to_deployment="e",reason="status"}}': "0+1x60",
            f'pointsman_requests_total{{{AT},outcome="ok"}}': "0+2x60",
        },
        "40m",
    ),
    silent(
        "PointsmanFallbackStorm", "nothing moves", {f'pointsman_requests_total{{{AT},outcome="ok"}}': "0+60x60"}, "40m"
    ),
)
