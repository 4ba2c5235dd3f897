import json
from pathlib import Path

import pytest

from gateway.__main__ import main
from tests.gateway.explaining.a_policy import POLICY, asking


def test_each_word_runs_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, request, cases = tmp_path / "p.yaml", tmp_path / "r.json", tmp_path / "c.yaml"
    policy.write_text(POLICY)
    request.write_text(json.dumps(asking("fixed")))
    given = {"key": "ci", "at": "2026-11-22T08:00:00Z", "request": asking("fixed")}
    cases.write_text(json.dumps({"cases": [{"name": "a", "given": given, "expect": {"first": "small"}}]}))
    explain = ["explain", str(request), "--config", str(policy), "--key", "ci", "--json"]
    assert main([*explain, "--at", "2026-11-22T08:00Z", "--down", "small", "--header", "x-a: b"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"] == [
        {"deployment": "small", "refused": "set_aside"},
        {"deployment": "far", "place": 1},
    ]
    assert main([*explain, "--at", "2026-11-22T20:00Z"]) == 1
    assert main(["test", str(cases), "--config", str(policy)]) == 0
    assert main(["diff", str(policy), str(policy)]) == 0
    assert main(["import", "litellm", str(policy)]) == 2


@pytest.mark.parametrize("words", [["--at", "soon"], ["--header", "x"], ["--endpoint", "images"]])
def test_wrong_words_are_refused(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "r.json", "--config", str(tmp_path / "p.yaml"), *words])
    assert stopped.value.code == 2
