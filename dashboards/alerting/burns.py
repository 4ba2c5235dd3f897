"""Promises that are being broken fast enough to matter: every promise at every pace of the table in `slo`.

Windows longer than five minutes are means of what is recorded every five minutes: three days of every raw series
would be read again at each evaluation otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.alerting.values import Alert, Group, Recording, Severity, promql
from dashboards.slo import BURNS, SLIS, WINDOWS, errors_recorded

if TYPE_CHECKING:
    from dashboards.slo import Burn, Sli

BAD: Final = "job_sli:pointsman_slo_bad:rate5m"
EVENTS: Final = "job_sli:pointsman_slo_events:rate5m"
LEAST_PER_S: Final = 0.02
"""Below so many events per second over the long window (72 an hour), a few failures are no trend."""
NAMES: Final = {
    "availability": "PointsmanAvailabilityBurn",
    "first_token": "PointsmanFirstTokenBurn",
    "overhead": "PointsmanOverheadBurn",
}
_PANELS: Final = {
    "availability": "Failures: us or the provider",
    "first_token": "Time to first token by model, p95",
    "overhead": "Gateway overhead",
}


def _recorded(sli: Sli) -> tuple[Recording, Recording]:
    """Bad events are 0 where none has happened yet, so that a share is told from the first request on."""
    labels = {"sli": sli.name}
    return (
        Recording(EVENTS, sli.events, labels),
        Recording(BAD, f"({sli.bad})\nor\n0 * {sli.events}", labels),
    )


def _share(window: str) -> Recording:
    bad, events = (
        (BAD, EVENTS) if window == "5m" else (f"sum_over_time({BAD}[{window}])", f"sum_over_time({EVENTS}[{window}])")
    )
    return Recording(errors_recorded(window), f"{bad} / ({events} > 0)")


def _alert(sli: Sli, burn: Burn) -> Alert:
    limit = round(burn.factor * sli.budget, 6)
    expr = promql(f"""
        {errors_recorded(burn.long)}{{sli="{sli.name}"}} > {limit}
        and
        {errors_recorded(burn.short)}{{sli="{sli.name}"}} > {limit}
        and
        avg_over_time({EVENTS}{{sli="{sli.name}"}}[{burn.long}]) > {LEAST_PER_S}
    """)
    return Alert(
        NAMES[sli.name],
        expr,
        burn.wait,
        Severity(burn.severity),
        f"The error budget of '{sli.promise}' burns {burn.factor:g} times too fast.",
        f"Over {burn.long} {{{{ $value | humanizePercentage }}}} of events were bad, and over the last {burn.short} "
        f"it was no better; {sli.budget:.1%} is what the promise allows.",
        "pointsman-overview",
        _PANELS[sli.name],
        {"window": burn.long},
    )


RECORDED: Final = Group(
    "pointsman-slo-recordings",
    "What promises are reckoned from.",
    (*(rule for sli in SLIS for rule in _recorded(sli)), *(_share(window) for window in WINDOWS)),
)
BURNING: Final = Group(
    "pointsman-slo",
    "Promises that are being broken: several windows at several paces, so that fast fires are told soon and slow "
    "ones at all.",
    tuple(_alert(sli, burn) for sli in SLIS for burn in BURNS),
)
