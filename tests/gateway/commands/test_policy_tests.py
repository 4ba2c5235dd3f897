import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.commands.policy_tests import run
from tests.gateway.explaining.a_policy import POLICY, TOOLS, asking


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def cases(folder: Path, *expects: dict[str, Any], **more: Any) -> Path:
    given = {"key": "ci", "request": asking(tools=TOOLS)}
    file = folder / "cases.yaml"
    listed = [{"name": f"case {number}", "given": given, "expect": expect} for number, expect in enumerate(expects)]
    file.write_text(yaml.safe_dump({"cases": listed, **more}))
    return file


def test_all_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cases(folder, {"first": "big"}, config="policy.yaml"), None, as_json=False) == 0
    assert capsys.readouterr().out == "ok      case 0\n1 of 1 hold\n"


def test_one_that_does_not_hold_fails_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = cases(folder, {"first": "big"}, {"first": "far"})
    assert run(file, folder / "policy.yaml", as_json=False) == 1
    assert "FAILED  case 1\n        first: expected far, found big\n1 of 2 hold\n" in capsys.readouterr().out
    assert run(file, folder / "policy.yaml", as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["failed"], told["cases"][1]["wrong"]) == (1, ["first: expected far, found big"])


@pytest.mark.parametrize(
    "text", ["cases: [{name: sk-secret: bad}]", "[" * 3_000 + "]" * 3_000, "x" * (5 << 20), "cases: \x00"]
)
def test_hostile_files_are_refused_in_a_line(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "hostile.yaml"
    file.write_text(text)
    assert run(file, folder / "policy.yaml", as_json=False) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert len(err) < 500
    assert "sk-secret" not in err


def test_wrong_files_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cases(folder, {"first": "big"}), None, as_json=False) == 2
    assert "--config" in capsys.readouterr().err
    assert run(cases(folder, {"frist": "big"}), folder / "policy.yaml", as_json=False) == 2
    assert "frist" in capsys.readouterr().err
    assert run(folder / "none.yaml", None, as_json=False) == 2
    assert run(cases(folder, {"first": "big"}, config="none.yaml"), None, as_json=False) == 2
