"""What docs/engine.md shows is what this version does: its policies pass the checks, its commands parse."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import parser
from gateway.config import examine_text
from gateway.config.problems import Severity
from tests.gateway_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs" / "engine.md").read_text()
POLICIES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [
    shlex.split(line.partition(">")[0])
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("pointsman ")
]


@pytest.mark.parametrize("policy", POLICIES, ids=range(len(POLICIES)))
def test_each_policy_passes_the_checks(policy: str, tmp_path: Path) -> None:
    config, problems = examine_text(policy, tmp_path / "policy.yaml", {"ENGINE_KEY": "sk-engine-0123456789"})
    assert config is not None, problems
    wrong = [problem for problem in problems if problem.severity is Severity.ERROR or "no such file" in problem.message]
    assert wrong == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_is_one(command: list[str]) -> None:
    assert parser().parse_args(command[1:]).run is not None


def test_nothing_was_lost_on_the_way_here() -> None:
    assert (len(POLICIES), len(COMMANDS)) == (4, 3)


@pytest.mark.parametrize("path", re.findall(r"`((?:scripts|benchmarks)/[a-z_.]+)", TEXT))
def test_each_script_is_there(path: str) -> None:
    assert (ROOT / path).is_file()
