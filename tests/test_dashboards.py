"""The rules for Prometheus name what a gateway tells, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.signals import cache_telemetry, engine_telemetry, telemetry
from gateway.signals.cache_metrics import WORSE
from gateway.signals.telemetry import Family

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"
NAMES = vars(telemetry) | vars(engine_telemetry) | vars(cache_telemetry)
FAMILIES = {family.name: family for family in NAMES.values() if isinstance(family, Family)}
FUNCTIONS = frozenset({"and", "by", "rate", "sum"})
GROUPS: list[dict[str, Any]] = yaml.safe_load((DASHBOARDS / "alerts.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]


def alerts() -> list[str]:
    return [rule["alert"] for rule in RULES]


def test_each_rule_is_one_that_prometheus_reads() -> None:
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    assert len(set(alerts())) == len(RULES)
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Pointsman[A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"[0-9]+[smhd]", rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("rule", RULES, ids=alerts())
def test_each_rule_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    text: str = rule["expr"]
    assert text.count("(") == text.count(")")
    words = set(re.findall(r"[a-z_]{2,}(?![a-z_]*\])", re.sub(r"\[[^\]]*\]", "", text)))
    named = {word for word in words if word.startswith("pointsman_")}
    assert named
    assert named <= FAMILIES.keys()
    labels = {label for name in named for label in FAMILIES[name].labels}
    assert words - named <= FUNCTIONS | labels


@pytest.mark.parametrize("rule", RULES, ids=alerts())
def test_texts_fill_in_labels_that_the_metrics_have(rule: dict[str, Any]) -> None:
    named = re.findall(r"pointsman_[a-z_]+", rule["expr"])
    labels = {label for name in named for label in FAMILIES[name].labels}
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.([a-z_]+)", text)) <= labels
        assert text.count("{{") == text.count("}}")


def test_a_spent_error_budget_raises_an_alert() -> None:
    (rule,) = (rule for rule in RULES if rule["alert"] == "PointsmanCacheBudgetExceeded")
    observed, budget, expected = (
        getattr(cache_telemetry, f"CACHE_{name}") for name in ("OBSERVED", "BUDGET", "EXPECTED")
    )
    worse = f"{observed.name} > {WORSE} * {expected.name}"
    assert rule["expr"] == f"{observed.name} > {budget.name} and {worse}"
    assert observed.labels == budget.labels == expected.labels


def test_prometheus_reads_the_rules_and_scrapes_the_operators_listener() -> None:
    config = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8081"]}]
