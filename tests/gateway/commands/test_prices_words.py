from __future__ import annotations

import pytest

from gateway.__main__ import main


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["prices"], "required"),
        (["prices", "show", "--deployment", "a"], "--deployment needs --config FILE"),
        (["prices", "show", "m", "--deployment", "a"], "not allowed with"),
        (["prices", "diff", "a"], "required"),
        (["prices", "diff", "a", "b", "--only", "configured"], "--only configured needs --config FILE"),
        (["prices", "diff", "a", "b", "--only", "mine"], "invalid choice"),
        (["prices", "update"], "--from"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(line: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_a_model_is_shown_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "show", "openai/gpt-4o"]) == 0
    assert "openai/gpt-4o, table of 20" in capsys.readouterr().out
