"""The policies that ship."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from pydantic import BaseModel

from gateway import config as package
from gateway.config import Config, examine
from gateway.keys.virtual_keys import generate

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = {"OPENAI_API_KEY": "sk-x", "APP_KEY": "a" * 20, "CI_KEY": "b" * 20, "TRIAL_KEY": "c" * 20}
ROUTING = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_SPARE_KEY", "EU_API_KEY", "ANTHROPIC_API_KEY"), "sk-x")
ROUTING |= {"APP_KEY": "a" * 20, "CLINIC_KEY": "b" * 20}
FOLDER = Path(__file__).parents[3] / "config"


def documented_environ() -> dict[str, str]:
    """The environment that `gateway.yaml` says it needs."""
    command = (FOLDER / "gateway.yaml").read_text().split("as it stands:\n")[1].split("pointsman check")[0]
    return dict(re.findall(r"([A-Z_]+)=(\S+)", command))


def settings_of(model: Any, above: tuple[type, ...] = ()) -> Iterator[str]:
    """Every key that the language has below a model; what stands in itself is told once."""
    if isinstance(model, type) and issubclass(model, BaseModel) and model not in above:
        for name, field in model.model_fields.items():
            yield field.alias or name
            yield from settings_of(field.annotation, (*above, model))
    for inner in get_args(model):
        yield from settings_of(inner, above)


@pytest.mark.parametrize(
    ("name", "environ"),
    [
        ("gateway.yaml", documented_environ()),
        ("minimal.yaml", {"OPENAI_API_KEY": "sk-x"}),
        ("limits.yaml", LIMITS),
        ("routing.yaml", ROUTING),
    ],
)
def test_shipped_policies_pass_without_a_warning(name: str, environ: dict[str, str]) -> None:
    config, problems = examine(FOLDER / name, environ)
    assert [str(problem) for problem in problems if "not installed" not in problem.message] == []
    assert config is not None


def test_the_local_policy_passes_once_its_key_is_there(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / ".run").mkdir()
    (tmp_path / "config" / "local.yaml").write_text((FOLDER / "local.yaml").read_text())
    (tmp_path / ".run" / "key").write_text(generate("local") + "\n")
    config, problems = examine(tmp_path / "config" / "local.yaml", {})
    assert config is not None, problems
    assert config.ledger.path == tmp_path / ".run" / "pointsman.db"
    assert (config.server.listen.is_loopback, config.server.admin.is_loopback) == (True, True)


def test_the_annotated_policy_shows_every_setting() -> None:
    text = (FOLDER / "gateway.yaml").read_text()
    missing = {name for name in settings_of(Config) if not re.search(rf"\b{name}:", text)}
    assert missing == set()


def test_the_smallest_policy_is_ten_lines() -> None:
    assert len((FOLDER / "minimal.yaml").read_text().splitlines()) <= 10


def test_every_public_name_is_there() -> None:
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_reading_a_policy_loads_nothing_that_only_some_policies_need() -> None:
    program = (
        "import sys, pathlib, gateway.config as c\n"
        f"c.load(pathlib.Path({str(FOLDER / 'minimal.yaml')!r}), {{'OPENAI_API_KEY': 'k'}})\n"
        "print(*({'difflib', 'asyncio', 'ssl', 'cel', 'redis', 'jsonschema', 'gateway.config.json_schema'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=FOLDER.parent
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
