from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands.where_words import where_options


def test_a_gateway_is_named_by_its_policy_or_by_its_address() -> None:
    options = where_options()
    assert options.parse_args(["--config", "policy.yaml"]).config == Path("policy.yaml")
    assert options.parse_args(["--url", "unix:///run/pointsman.sock"]).url == "unix:///run/pointsman.sock"


def test_but_not_by_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        where_options().parse_args(["--config", "policy.yaml", "--url", "http://127.0.0.1:8081"])
    assert "not allowed with" in capsys.readouterr().err
