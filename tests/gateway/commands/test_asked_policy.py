from pathlib import Path

import pytest

from gateway.commands.asked_policy import policy_of
from gateway.data_files import newest_table
from tests.gateway.explaining.a_policy import POLICY

SECRETS = POLICY.replace("api_key: none", 'api_key: "${env:UNSET_UPSTREAM_KEY}"').replace(
    "secret: twenty-characters-at-least", 'secret: "${env:UNSET_CALLER_KEY}"'
)


def test_a_policy_is_asked_about_without_its_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(SECRETS)
    config = policy_of(file)
    assert config is not None
    assert [key.name for key in config.keys] == ["ci", "euro"]
    out, err = capsys.readouterr()
    assert out == ""
    told = "something stands in for what is not set in the environment: UNSET_CALLER_KEY, UNSET_UPSTREAM_KEY"
    assert err == f"{file}: {told}\n"


def test_what_is_set_is_taken_and_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSET_UPSTREAM_KEY", "sk-upstream")
    monkeypatch.setenv("UNSET_CALLER_KEY", "a-key-of-more-than-twenty")
    file = tmp_path / "policy.yaml"
    file.write_text(SECRETS)
    assert policy_of(file) is not None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("targets: [big]", "targets: [bigg]"), "there is no deployment or route 'bigg'"),
        (("http://127.0.0.1:1/v1", "${env:UNSET_URL}"), "environment variable UNSET_URL is not set"),
    ],
)
def test_what_is_wrong_otherwise_is_told_with_the_variables_that_are_not_set(
    wrong: tuple[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(SECRETS.replace(*wrong))
    assert policy_of(file) is None
    err = capsys.readouterr().err
    assert "environment variable UNSET_CALLER_KEY is not set" in err
    assert told in err
    assert "stands in" not in err


def test_a_price_table_that_is_not_here_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY + "\nprices: {file: own.json}\n")
    assert policy_of(file) is None
    assert f"{file}: prices.file: " in capsys.readouterr().err
    (tmp_path / "own.json").write_bytes(newest_table("prices").read_bytes())
    assert policy_of(file) is not None
