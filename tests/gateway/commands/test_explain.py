import json
from pathlib import Path

import pytest

from gateway.commands.explain import question_of, run
from gateway.explaining.rehearsal import Question
from policies.vocabulary import Endpoint
from tests.gateway.explaining.a_policy import POLICY, asking

ASKED = Question(b"", key="ci")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, str]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "request.json").write_text(json.dumps(asking()))
    return tmp_path / "policy.yaml", str(tmp_path / "request.json")


def test_a_decision_for_people_and_for_programs(files: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*files, ASKED, as_json=False) == 0
    out = capsys.readouterr().out
    assert "small" in out
    assert out.endswith("held to the limit key.requests.min of key ci\n")
    assert run(*files, ASKED, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["candidates"]


def test_a_request_that_would_be_refused_says_how(files: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(files[1]).write_text(json.dumps(asking("nobody")))
    assert run(*files, ASKED, as_json=False) == 1
    out, err = capsys.readouterr()
    assert "refused: 404 model_not_found" in out
    assert "does not exist" in err


def test_a_wrong_file_or_key_is_told(files: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    policy, request = files
    assert run(policy, request, ASKED._replace(key=None), as_json=False) == 2
    assert "ci, euro" in capsys.readouterr().err
    assert run(policy, request, ASKED._replace(down=frozenset({"bigg"})), as_json=False) == 2
    assert capsys.readouterr().err == "there is no deployment bigg (did you mean 'big'?)\n"
    assert run(policy, request + "x", ASKED, as_json=False) == 2
    policy.write_text("routes: 1")
    assert run(policy, request, ASKED, as_json=False) == 2
    assert "routes" in capsys.readouterr().err


def test_the_words_of_a_command_line() -> None:
    question = question_of(Endpoint.CHAT, "ci", ["X-A: b: c"], 5.0, ["big"])
    assert (question.headers, question.down, question.at_s) == ((("X-A", "b: c"),), frozenset({"big"}), 5.0)
    for header in ("none", ": b"):
        with pytest.raises(ValueError, match="no header"):
            question_of(Endpoint.CHAT, None, [header], None, [])
