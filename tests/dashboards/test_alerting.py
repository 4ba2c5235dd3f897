"""Alerts as Grafana reads them, and the runbook behind each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.alerting import grafana
from dashboards.alerting.groups import GROUPS
from dashboards.boards import BOARDS
from dashboards.lint import RUNBOOK, runbook_sections
from dashboards.slo import BURNS, PROVIDER_FAILS, SLIS, WINDOWS
from gateway.records.settlement import RATE_LIMITED
from gateway.signals import cache_telemetry, telemetry
from gateway.signals.cache_metrics import WORSE
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from dashboards.alerting.values import Alert

ALERTS = [alert for group in GROUPS for alert in group.alerts()]
TITLES = {panel.title for board in BOARDS for panel in board.panels()}
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(grafana.alerting_text(GROUPS, BOARDS))["groups"] for rule in group["rules"]
]


def test_grafana_has_the_same_alerts_under_names_of_their_own() -> None:
    assert len(RULES) == len(ALERTS)
    assert len({rule["uid"] for rule in RULES}) == len({rule["title"] for rule in RULES}) == len(RULES)
    assert all(len(rule["uid"]) <= 40 and re.fullmatch(r"[\w-]+", rule["uid"]) for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["title"])
def test_each_alert_of_grafana_asks_the_query_of_the_rule(rule: dict[str, Any]) -> None:
    asked, fires = rule["data"]
    assert asked["model"]["expr"] in {alert.expr for alert in ALERTS if rule["title"].startswith(alert.name)}
    assert (asked["datasourceUid"], asked["model"]["instant"]) == (grafana.PROMETHEUS_UID, True)
    assert (rule["condition"], fires["datasourceUid"], fires["model"]["type"]) == (fires["refId"], "__expr__", "math")
    assert fires["model"]["expression"] == "is_number($A) || is_inf($A)"
    assert rule["noDataState"] == "OK"
    # Grafana fills in environment variables where it sees a dollar sign.
    assert "$" not in str(rule["annotations"]) + str(rule["labels"])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name} {alert.labels.get('window', '')}")
def test_each_alert_leads_to_a_panel_that_there_is(alert: Alert) -> None:
    (board,) = [board for board in BOARDS if board.uid == alert.board]
    assert alert.panel in {panel.title for panel in board.panels()}


@pytest.mark.parametrize("name", sorted({alert.name for alert in ALERTS}))
def test_the_runbook_says_cause_place_and_remedy(name: str) -> None:
    text = runbook_sections()[name.lower()]
    for word in ("Cause", "Look here", "Do this"):
        assert re.search(rf"^- \*\*{word}:\*\* \S.{{20,}}", text, re.MULTILINE), word


def test_the_runbook_is_about_alerts_that_there_are() -> None:
    assert runbook_sections().keys() == {alert.name.lower() for alert in ALERTS}


def test_the_runbook_names_panels_that_there_are() -> None:
    text = re.sub(r"\s+", " ", RUNBOOK.read_text())
    named = {
        name
        for place in re.findall(r"\*\*Look here:\*\*(.*?)\*\*Do this", text)
        for name in re.findall(r'"([^"]+)"', place)
    }
    assert len(named) > 40
    assert named - TITLES == {"Worker restarted"}  # a mark on every graph


def test_bounds_of_promises_are_edges_of_buckets() -> None:
    buckets = {
        f'le="{bound}"'
        for family in (telemetry.FIRST_TOKEN, telemetry.OVERHEAD)
        for bound in map(float, family.buckets)
    }
    bounds = {bound for sli in SLIS for bound in re.findall(r'le="[^"]+"', sli.bad)}
    assert len(bounds) == 2
    assert bounds <= buckets


def test_words_of_outcomes_are_those_of_the_gateway() -> None:
    words = set(PROVIDER_FAILS.split("|"))
    kinds = {kind.value for kind in FailureKind}
    assert words - {RATE_LIMITED} <= kinds
    # Ours, not the provider's: a full pool, a limit, an engine's line.
    assert kinds - words == {FailureKind.POOL.value, FailureKind.LIMITED.value, FailureKind.BUSY.value}
    for sli in SLIS[:1]:
        named = {
            word for text in re.findall(r'outcome!?[=~]+"([^"]+)"', sli.events + sli.bad) for word in text.split("|")
        }
        outcomes = {outcome.value for outcome in telemetry.Outcome}
        assert all(any(re.fullmatch(word, outcome) for outcome in outcomes) for word in named)


def test_each_pace_asks_for_windows_that_are_recorded() -> None:
    assert {window for burn in BURNS for window in (burn.long, burn.short)} == set(WINDOWS)
    for burn in BURNS:  # a fire at that pace uses up a tenth of the budget at most before the long window tells it
        assert burn.factor * {"1h": 1, "6h": 6, "1d": 24, "3d": 72}[burn.long] / (30 * 24) <= 0.11


def test_a_spent_error_budget_raises_an_alert() -> None:
    """The rule says "worse than reckoned" as the gateway does."""
    (rule,) = (alert for alert in ALERTS if alert.name == "PointsmanCacheBudgetExceeded")
    observed, budget, expected = (
        getattr(cache_telemetry, f"CACHE_{name}").name for name in ("OBSERVED", "BUDGET", "EXPECTED")
    )
    assert re.sub(r"\s+", " ", rule.expr) == f"{observed} > {budget} and {observed} > {WORSE} * {expected}"
