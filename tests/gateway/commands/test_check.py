from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.commands import check
from gateway.config import exposure

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
providers: {openai: {kind: openai, api_key: "${env:POINTSMAN_TEST_KEY}"}}
deployments: {gpt: {provider: openai, model: m}}
routes: [{model: a, targets: [gpt]}, {model: b, targets: [gpt]}]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POINTSMAN_TEST_KEY", "sk-x")
    return tmp_path / "p.yaml"


def test_a_good_file_passes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    assert check.run(str(file)) == 0
    assert capsys.readouterr() == (f"{file}: ok (2 routes, 1 deployment, 0 keys)\n", "")


def test_warnings_are_told_and_pass(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD.replace("model: m}", "model: m}, x: {provider: openai, model: m}"))
    assert check.run(str(file)) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{file}:2: deployments.x: warning: no route uses this deployment",
        f"{file}: ok (2 routes, 2 deployments, 0 keys)",
    ]
    assert err == ""


def test_limits_are_counted_by_resource(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(
        GOOD + "limits: [{per: key, requests: 60/min, concurrent: 8}]\norgs: {acme: {limits: {cost: $1/day}}}\n"
    )
    assert check.run(str(file)) == 0
    assert capsys.readouterr() == (f"{file}: ok (2 routes, 1 deployment, 0 keys, 3 limits)\n", "")


def test_a_bad_file_is_refused_with_every_problem(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD.replace("targets: [gpt]}]", "targets: [gtp]}]\nwebhooks: []"))
    assert check.run(str(file)) == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{file}:3: routes[1].targets[0]: there is no deployment or route 'gtp' (did you mean 'gpt'?)",
        f"{file}:4: webhooks: 'webhooks' is not available in this version",
    ]
    assert err == f"{file}: cannot be used\n"


def test_what_this_machine_lacks_is_told_and_passes(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exposure, "is_installed", lambda _: False)
    file.write_text(GOOD.replace("}}\n", "}, lite: {kind: litellm}}\n", 1))
    assert check.run(str(file)) == 0
    assert "providers.lite.kind: warning: litellm is not installed" in capsys.readouterr().out


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nope.yaml"
    assert check.run(str(path)) == 2
    assert capsys.readouterr().out == f"{path}:1: cannot be read: No such file or directory\n"


def test_no_secret_is_told(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POINTSMAN_TEST_KEY", "canary 5ecret")
    file.write_text(GOOD)
    assert check.run(str(file)) == 2
    assert "canary" not in "".join(capsys.readouterr())
