"""What the gateway promises, and when breaking the promise is worth waking somebody: boards and rules share these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BAD_OUTCOMES: Final = "upstream_error|timeout|gateway_error"
"""How requests end whose callers did nothing wrong and got no answer."""
NOT_COUNTED: Final = "client_error|denied_.*"
"""How requests end that were the caller's own doing; they are in neither part of the ratio."""
PROVIDER_FAILS: Final = (
    "rate_limited|status|connect|reset|bad_response|truncated|in_band|"
    "first_token_timeout|idle_timeout|total_timeout|write_timeout|crashed|lost"
)
"""How attempts end that the far side failed: not what callers, hedges or our own limits ended."""
FIRST_BOUND: Final = "3.2"
OVERHEAD_BOUND: Final = "0.02"


@dataclass(frozen=True, slots=True)
class Sli:
    """One promise: the share of good events. `events` and `bad` are rates by job, over 5 minutes."""

    name: str
    promise: str
    target: float
    events: str
    bad: str

    @property
    def budget(self) -> float:
        return round(1 - self.target, 6)


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast a budget burns before it is told: both windows must agree, so that it ends soon after its cause."""

    factor: float
    long: str
    short: str
    severity: str
    wait: str


def _slow(metric: str, bound: str) -> tuple[str, str]:
    """Events of a histogram, and those above `bound`, which must be one of its buckets."""
    events = f"sum by (job) (rate({metric}_count[5m]))"
    return events, f'{events} - sum by (job) (rate({metric}_bucket{{le="{bound}"}}[5m]))'


SLIS: Final = (
    Sli(
        "availability",
        "99.5 % of requests are answered",
        0.995,
        f'sum by (job) (rate(pointsman_requests_total{{outcome!~"{NOT_COUNTED}"}}[5m]))',
        f'sum by (job) (rate(pointsman_requests_total{{outcome=~"{BAD_OUTCOMES}"}}[5m]))',
    ),
    Sli(
        "first_token",
        f"99 % of streams begin within {FIRST_BOUND} s",
        0.99,
        *_slow("pointsman_time_to_first_token_seconds", FIRST_BOUND),
    ),
    Sli(
        "overhead",
        "99 % of requests spend less than 20 ms in the gateway itself",
        0.99,
        *_slow("pointsman_overhead_seconds", OVERHEAD_BOUND),
    ),
)
BURNS: Final = (
    Burn(14.4, "1h", "5m", "page", "2m"),
    Burn(6, "6h", "30m", "page", "5m"),
    Burn(3, "1d", "2h", "ticket", "15m"),
    Burn(1, "3d", "6h", "ticket", "30m"),
)
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def errors_recorded(window: str) -> str:
    """The recorded share of bad events over `window`, by job and `sli`."""
    return f"job_sli:pointsman_slo_errors:ratio_rate{window}"
