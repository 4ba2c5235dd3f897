"""What docs/prices.md shows is what this version does: its policy passes the checks, its commands parse."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import parser
from gateway.config import examine_text
from gateway.config.compile_prices import tables_of
from gateway.config.pricing import RateSettings
from gateway.errors import StartError
from policies.tariffs import PriceSource
from tests.gateway_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs" / "prices.md").read_text()
SHIPPED = (ROOT / "config" / "prices" / "README.md").read_text()
COMMANDS = [
    shlex.split(line.partition("#")[0])
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


def test_the_policy_passes_the_checks(tmp_path: Path) -> None:
    (policy,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    config, problems = examine_text(policy, tmp_path / "policy.yaml", {"KEY": "sk-0123456789abcdef"})
    assert config is not None, problems
    assert [problem.path for problem in problems] == ["prices.file"], "which is not here"
    with pytest.raises(StartError):
        tables_of(config)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_is_one(command: list[str]) -> None:
    assert parser().parse_args(command[1:]).run is not None


@pytest.mark.parametrize(
    "source", [one for one in PriceSource if one not in (PriceSource.PROVIDER, PriceSource.ESTIMATED)]
)
def test_each_source_is_told(source: PriceSource) -> None:
    assert f"`{source}`" in TEXT


def test_the_rates_that_most_have_are_shown() -> None:
    assert {field.alias for field in RateSettings.model_fields.values()} >= set(
        re.findall(r"^      (\w+): [\d.]+$", TEXT, re.MULTILINE)
    )


def test_what_wins_where_sources_disagree_is_written_down() -> None:
    for told in ("Who wins", "disagree on tiers", "genai-prices wins", "claude-sonnet-4-5"):
        assert told in SHIPPED
