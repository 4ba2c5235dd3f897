"""Promises that break: at each pace, and where they only seem to."""

from __future__ import annotations

from tests.dashboards.alert_cases import AT, JOB, Case, fires, silent

REQUESTS = "pointsman_requests_total"
FIRST = "pointsman_time_to_first_token_seconds"
OVERHEAD = "pointsman_overhead_seconds"
NAME = "PointsmanAvailabilityBurn"
ALL = tuple({"sli": "availability", "window": window} for window in ("1h", "6h", "1d", "3d"))


def requests(**by_outcome: str) -> dict[str, str]:
    return {f'{REQUESTS}{{{AT},route="r",outcome="{outcome}"}}': values for outcome, values in by_outcome.items()}


def histogram(name: str, bound: str, whole: str, within: str) -> dict[str, str]:
    return {f"{name}_count{{{AT}}}": whole, f'{name}_bucket{{{AT},le="{bound}"}}': within}


CASES: tuple[Case, ...] = (
    fires(
        NAME, "a tenth fails, and every pace is told", requests(ok="0+54x130", upstream_error="0+6x130"), "80m", *ALL
    ),
    fires(
        NAME,
        "what is too slow and what is ours count too",
        requests(ok="0+50x130", timeout="0+5x130", gateway_error="0+5x130"),
        "80m",
        *ALL,
    ),
    silent(NAME, "a fast fire is not told before its wait", requests(ok="0+54x130", upstream_error="0+6x130"), "1m"),
    fires(
        NAME,
        "a hundredth fails: slow enough for a ticket about three days only",
        requests(ok="0+99x600", upstream_error="0+1x600"),
        "480m",
        {"sli": "availability", "window": "3d"},
    ),
    fires(
        NAME,
        "a fire that is out no longer pages, its budget is gone all the same",
        requests(ok="0+60x30 1860+54x20 2940+60x60", upstream_error="0x30 0+6x20 120x60"),
        "90m",
        {"sli": "availability", "window": "1d"},
        {"sli": "availability", "window": "3d"},
    ),
    silent(NAME, "less fails than is promised", requests(ok="0+1000x600", upstream_error="0+2x600"), "480m"),
    silent(NAME, "all of very little fails", requests(upstream_error="0x9 1x10 2x10 3x10 4x10 5x10 6x20"), "80m"),
    silent(
        NAME,
        "denials and callers' own errors are no failures",
        requests(ok="0+1x130", denied_rate="0+600x130", client_error="0+90x130"),
        "80m",
    ),
    silent(
        NAME,
        "a restart sets counters back and is no failure",
        requests(ok="0+60x60 0+60x60", upstream_error="5x60 0x60"),
        "80m",
    ),
    silent(NAME, "nothing is scraped", {}, "80m"),
    silent(NAME, "nothing has ever failed, so there is no such series", requests(ok="0+60x130"), "80m"),
    fires(
        "PointsmanFirstTokenBurn",
        "a fifth of streams begins late",
        histogram(FIRST, "3.2", "0+60x130", "0+48x130"),
        "80m",
        *({"sli": "first_token", "window": window} for window in ("1h", "6h", "1d", "3d")),
    ),
    silent(
        "PointsmanFirstTokenBurn",
        "a few of a thousand begin late",
        histogram(FIRST, "3.2", "0+1000x130", "0+996x130"),
        "80m",
    ),
    silent("PointsmanFirstTokenBurn", "one slow stream a day", histogram(FIRST, "3.2", "0x60 1x70", "0x130"), "80m"),
    fires(
        "PointsmanOverheadBurn",
        "a twentieth of requests is held up by the gateway",
        histogram(OVERHEAD, "0.02", "0+100x600", "0+95x600"),
        "480m",
        {"sli": "overhead", "window": "1d"},
        {"sli": "overhead", "window": "3d"},
    ),
    silent(
        "PointsmanOverheadBurn", "the gateway is fast", histogram(OVERHEAD, "0.02", "0+100x600", "0+99.5x600"), "480m"
    ),
)
RECORDED = (
    (
        requests(ok="0+54x130", upstream_error="0+6x130"),
        'job_sli:pointsman_slo_errors:ratio_rate1h{sli="availability"}',
        0.1,
    ),
    (requests(ok="0+60x130"), 'job_sli:pointsman_slo_errors:ratio_rate1h{sli="availability"}', 0.0),
    (
        histogram(FIRST, "3.2", "0+60x130", "0+48x130"),
        'job_sli:pointsman_slo_errors:ratio_rate5m{sli="first_token"}',
        0.2,
    ),
    (requests(ok="0+60x130"), f'job_sli:pointsman_slo_events:rate5m{{{JOB},sli="availability"}}', 1.0),
)
"""Series, what is recorded of them after eighty minutes, and its value."""
