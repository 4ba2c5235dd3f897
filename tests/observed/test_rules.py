"""The rules in a real Prometheus that watches real gateways: all evaluate, and the right alerts are raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.observed.asking import has_data
from tests.observed.scene import RULES

if TYPE_CHECKING:
    from tests.observed.scene import Observed


def written() -> list[dict[str, Any]]:
    found = []
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += group["rules"]
    return found


RECORDED = sorted({rule["record"] for rule in written() if "record" in rule})
ALERTS = sorted({rule["alert"] for rule in written() if "alert" in rule})

RAISED = {
    "PointsmanAllDeploymentsDown": "the only deployment of one route is not there",
    "PointsmanAvailabilityBurn": "streams are cut, and one provider is stuck",
    "PointsmanBudgetExhausted": "two teams have spent theirs",
    "PointsmanCircuitOpen": "a deployment is not there",
    "PointsmanCredentialRefused": "one of two credentials is revoked for a while",
    "PointsmanEstimatedUsageHigh": "some streams tell no usage, and some callers leave",
    "PointsmanUnpricedTraffic": "one model has no price",
    "PointsmanWorkerDown": "a worker is killed",
}
"""Pending or firing at some time: the run is shorter than most alerts wait."""
PERHAPS = {
    "PointsmanBudgetForecastExceeded": "it looks at whole minutes, of which the run has one or two",
    "PointsmanEventLoopLag": "how fast the machine is, is no matter of the traffic",
    "PointsmanOverheadBurn": "as above",
    "PointsmanOverheadHigh": "as above",
}


def test_every_rule_was_evaluated_and_is_well(seen: Observed) -> None:
    assert len(seen.rules) == len(written()) > 0
    ill = {rule["name"]: rule.get("lastError", rule["health"]) for rule in seen.rules if rule["health"] != "ok"}
    assert not ill


def test_no_evaluation_failed_during_the_run(seen: Observed) -> None:
    """A rule that is well at the end may have failed while labels came and went."""
    log = seen.folder / "prometheus.log"
    assert "Evaluating rule failed" not in log.read_text()


def test_alerts_that_are_expected_exist() -> None:
    assert RAISED.keys() | PERHAPS.keys() <= set(ALERTS)


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_is_there(seen: Observed, name: str) -> None:
    assert has_data(seen.prometheus.ranged(name, seen.start_s, seen.end_s, 2)), name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_raised_by_this_traffic_or_is_not(seen: Observed, name: str) -> None:
    found = seen.prometheus.ranged(f'ALERTS{{alertname="{name}"}}', seen.start_s, seen.end_s, 1)
    if name not in PERHAPS:
        assert bool(found) is (name in RAISED), [series.labels for series in found]
