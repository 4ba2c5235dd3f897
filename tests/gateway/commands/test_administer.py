from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.__main__ import main, parser
from gateway.commands.administer import ACTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Command = Callable[..., tuple[int, str, str]]


def test_a_gateway_that_is_not_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--url", "http://127.0.0.1:1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pointsman keys list: http://127.0.0.1:1 cannot be asked:")


def test_a_wrong_token_is_1_and_not_repeated(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_ADMIN_TOKEN", "wrong-token-0123456789")
    code, out, err = command("teams", "list")
    assert (code, out, err) == (1, "", "pointsman teams list: The admin token is missing or wrong.\n")


def test_json_has_the_secret_once(command: Command) -> None:
    code, out, err = command("keys", "create", "--name", "a", "--json")
    assert (code, err) == (0, "")
    assert out.count("sk-pm-live_") == 1


def test_each_act_can_be_said() -> None:
    wanted = {
        "keys": ["list", "create", "show", "change", "rotate", "disable", "enable", "revoke"],
        "orgs": ["list", "create", "change", "show", "delete"],
        "teams": ["list", "create", "show", "delete"],
        "users": ["list", "create", "show", "delete"],
        "cache": ["stats", "drop", "curve", "export", "import"],
    }
    assert set(ACTS) == {f"{noun} {verb}" for noun, verbs in wanted.items() for verb in verbs} | {"limits"}
    assert parser().parse_args(["limits"]).act == "limits"
