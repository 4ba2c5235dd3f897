"""What docs/cache.md tells of is there, and it tells of all of it: policies, commands, settings, reasons, metrics."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import parser
from gateway.config import examine_text
from gateway.config.caching import AnswersSettings, CacheSettings, JudgeSettings, SemanticSettings, ShadowSettings
from gateway.config.problems import Severity
from gateway.signals import cache_telemetry
from gateway.signals.telemetry import Family
from policies.cache_rules import Bypass, Sharing
from tests.gateway_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

TEXT = (ROOT / "docs" / "cache.md").read_text()
POLICIES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line.removeprefix("$ "))
    for block in re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("$ pointsman ")
]
REST = """
providers: {up: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none}}
deployments: {small: {provider: up, model: m, price: {input: 1, output: 1}}}
keys: [{name: shop, secret: sk-a-key-for-tests-only-0123456789, team: shop}]
"""


@pytest.mark.parametrize("policy", POLICIES, ids=range(len(POLICIES)))
def test_each_policy_passes_the_checks(policy: str, tmp_path: Path) -> None:
    config, problems = examine_text(f"version: 1\n{policy}{REST}", tmp_path / "policy.yaml", {})
    assert config is not None, problems
    assert [problem for problem in problems if problem.severity is Severity.ERROR] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_is_one(command: list[str]) -> None:
    assert parser().parse_args(command[1:]).run is not None


def test_nothing_was_lost_on_the_way_here() -> None:
    assert len(POLICIES) == 2
    assert {command[2] for command in COMMANDS if command[1] == "cache"} == {
        "stats", "explain", "calibrate", "curve", "drop", "export", "import", "warm",
    }  # fmt: skip


def test_every_setting_is_told_of_and_no_other() -> None:
    told = first_column("Settings")
    assert {name.partition(".")[0] for name in told} == {*words_of(CacheSettings), *words_of(AnswersSettings)}
    assert {f"semantic.{name}" for name in words_of(SemanticSettings)} == {one for one in told if "semantic." in one}


@pytest.mark.parametrize("shape", [ShadowSettings, JudgeSettings])
def test_what_is_within_settings_is_told_of(shape: type[BaseModel]) -> None:
    assert all(f"`{name}`" in section("Settings") for name in words_of(shape))


def test_every_reason_for_leaving_a_call_alone_is_told_of() -> None:
    assert first_column("What is left alone") == {reason.value for reason in Bypass}


def test_every_way_to_share_is_told_of() -> None:
    assert first_column("Who shares with whom") - {"share"} == {sharing.value for sharing in Sharing}


def test_every_metric_is_told_of_and_no_other() -> None:
    told = {f"pointsman_cache{name.removeprefix('pointsman_cache')}" for name in first_column("Metrics and the alert")}
    names = {family.name for family in vars(cache_telemetry).values() if isinstance(family, Family)}
    assert {name.partition("{")[0] for name in told} == names


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/cache.md has no section {title}"
    return found[1]


def first_column(title: str) -> set[str]:
    """All that stands in marks there."""
    rows = re.findall(r"^\| (`[^|]*) \|", section(title), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def words_of(shape: type[BaseModel]) -> set[str]:
    """The settings as a policy file names them."""
    return {field.alias or name for name, field in shape.model_fields.items()}
