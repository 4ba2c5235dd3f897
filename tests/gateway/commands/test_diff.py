import json
from pathlib import Path

import pytest

from gateway.commands.diff import run
from tests.gateway.explaining.a_policy import POLICY


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "b.yaml").write_text(POLICY.replace("weight: 5}", "weight: 95}").replace("region: us", "region: eu"))
    return tmp_path / "a.yaml", tmp_path / "b.yaml"


def test_what_changes_and_for_whom(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*files, as_json=False) == 1
    out = capsys.readouterr().out
    assert out.startswith("deployment far: region was us, becomes eu\n")
    assert "    for ci asking for clever, plain, stream, json, long requests only\n" in out
    assert run(*files, as_json=True) == 1
    assert {"what", "keys", "models", "shapes"} == set(json.loads(capsys.readouterr().out)["changes"][0])


def test_no_change_and_a_wrong_file(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[0], files[0], as_json=False) == 0
    assert capsys.readouterr().out == "nothing changes for anybody\n"
    files[1].write_text("routes: 1")
    assert run(*files, as_json=False) == 2
