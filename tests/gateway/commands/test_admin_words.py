from __future__ import annotations

import pytest

from gateway.__main__ import main, parser
from gateway.commands.administer import ACTS

REST = {verb: ["x"] for verb in ("create", "change", "show", "delete", "disable", "enable", "revoke")}


@pytest.mark.parametrize("act", sorted(ACTS))
def test_each_command_leads_to_its_act(act: str) -> None:
    words = act.split()
    rest = REST.get(words[-1], [])
    if act == "keys create":
        rest = ["--name", "x", "--limit", "tokens=1/min", "--limit", "concurrent=2"]
    if act == "keys rotate":
        rest = ["x", "--overlap", "1h"]
    if act in ("cache export", "cache import"):
        rest = ["--out", "x"] if act == "cache export" else ["x"]
    arguments = parser().parse_args([*words, *rest, "--json"])
    assert (arguments.act, arguments.json, arguments.config, arguments.url) == (act, True, None, None)


@pytest.mark.parametrize(
    "line",
    [
        ["keys", "list", "--token", "secret"],
        ["keys", "list", "--token-fil", "f"],
        ["keys", "create"],
        ["keys", "rotate", "x"],
        ["keys", "list", "--url", "http://a", "--config", "f"],
        ["teams"],
        ["orgs", "create"],
        ["limits", "--scope", "mood"],
    ],
)
def test_a_wrong_command_line_is_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 2
    assert "usage: pointsman" in capsys.readouterr().err
