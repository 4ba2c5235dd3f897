"""Every rule, by Prometheus's own promtool: it is read, it fires where it must, and is silent where it must not."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.alerting.groups import GROUPS
from dashboards.write import HERE
from tests.dashboards import burn_cases, money_cases, part_cases, service_cases
from tests.dashboards.alert_cases import ALERTS, Case

if TYPE_CHECKING:
    from pathlib import Path

RULES = sorted((HERE / "rules").glob("*.yml"))
SETS = {
    "burns": burn_cases.CASES,
    "service": service_cases.CASES,
    "money": money_cases.CASES,
    "parts": part_cases.CASES,
}
CASES = [case for cases in SETS.values() for case in cases]
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus has promtool")


def promtool(*words: str) -> tuple[int, str]:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


def put_rules(folder: Path, alerts: set[str], *, with_texts: bool) -> list[str]:
    """Copies the rules that those alerts are among and all that is recorded. promtool wants texts word for word."""
    names = []
    for path in RULES:
        told = yaml.safe_load(path.read_text())
        rules = told["groups"][0]["rules"]
        if all("alert" in rule and rule["alert"] not in alerts for rule in rules):
            continue
        for rule in rules:
            if not with_texts:
                rule.pop("annotations", None)
        (folder / path.name).write_text(yaml.safe_dump(told))
        names.append(path.name)
    return names


def trial(folder: Path, rules: list[str], tests: list[dict[str, Any]], every: str = "1m") -> tuple[int, str]:
    document = {"rule_files": rules, "evaluation_interval": every, "tests": tests}
    (folder / "trial.yml").write_text(yaml.safe_dump(document, sort_keys=False))
    return promtool("test", "rules", str(folder / "trial.yml"))


def tried(folder: Path, cases: list[Case], *, with_texts: bool = False) -> list[tuple[int, str]]:
    """What promtool says of the cases: of the short ones, and of the long ones."""
    rules = put_rules(folder, {case.alert for case in cases}, with_texts=with_texts)
    said = []
    for every, is_long in (("1m", False), ("10m", True)):
        tests = [case.as_promtool_reads_it() for case in cases if case.is_long is is_long]
        if tests:
            said.append(trial(folder, rules, tests, every))
    return said


def test_each_alert_is_tried_where_it_fires_and_where_it_is_silent() -> None:
    assert {case.alert for case in CASES if case.fires} == ALERTS.keys()
    assert {case.alert for case in CASES if not case.fires} == ALERTS.keys()


@needs_promtool
@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_prometheus_reads_the_rules(path: Path) -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert code == 0, said


@needs_promtool
@pytest.mark.parametrize("name", SETS)
def test_alerts_fire_where_they_must_and_nowhere_else(name: str, tmp_path: Path) -> None:
    for code, said in tried(tmp_path, list(SETS[name])):
        assert code == 0, said


@needs_promtool
def test_promises_are_reckoned_right(tmp_path: Path) -> None:
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f"round(sum({expr}), 0.0001)",
                    "eval_time": "80m",
                    "exp_samples": [{"labels": "{}", "value": value}],
                }
            ],
        }
        for given, expr, value in burn_cases.RECORDED
    ]
    code, said = trial(tmp_path, put_rules(tmp_path, {burn_cases.NAME}, with_texts=False), tests)
    assert code == 0, said


@needs_promtool
@pytest.mark.parametrize("name", SETS)
def test_texts_of_alerts_that_fire_can_be_filled_in(name: str, tmp_path: Path) -> None:
    """promtool compares texts word for word and prints those that it got: here they are only looked at."""
    firing = {case.alert: case for case in SETS[name] if case.fires}
    answers = tried(tmp_path, list(firing.values()), with_texts=True)
    assert {code for code, _ in answers} == {1}
    said = "".join(text for _, text in answers)
    assert said.count("summary=") >= len(firing)
    for sign in ("error expanding template", "<no value>", "{{"):
        assert sign not in said


def test_every_group_is_a_file() -> None:
    assert len(RULES) == len(GROUPS)
    assert {yaml.safe_load(path.read_text())["groups"][0]["name"] for path in RULES} == {group.name for group in GROUPS}
