from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.__main__ import main, parser
from gateway.keys.virtual_keys import check
from gateway.state.ledger.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent.parent
POLICY = """\
providers: {p: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none}}
deployments: {a: {provider: p, model: m}}
routes: [{model: r, targets: [a]}]
"""


def test_a_key_is_generated_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "generate", "--env", "test"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("sk-pm-test_")
    assert check(out.strip()) is None
    assert out.strip() not in err


@pytest.mark.parametrize(("policy", "code"), [(POLICY, 0), (POLICY + "cache: []", 2), ("", 2), (":", 2)])
def test_check_tells_good_files_from_bad_ones(tmp_path: Path, policy: str, code: int) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(policy)
    assert main(["check", str(file)]) == code


def test_serve_refuses_a_bad_file_before_it_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace("targets: [a]", "targets: [b]"))
    assert main(["serve", "--config", str(file)]) == 2
    assert "there is no deployment or route 'b'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["fly"],
        ["serve"],
        ["serve", "--config"],
        ["check"],
        ["keys"],
        ["keys", "revoke"],
        ["usage"],
        ["usage", "--config", "p.yaml", "--by", "mood"],
        ["usage", "--config", "p.yaml", "--ledger", "l.db"],
        ["serve", "--config", "p.yaml", "--debug"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 2
    assert "usage: pointsman" in capsys.readouterr().err


def test_usage_reads_a_ledger_without_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}")
    ledger.start()
    ledger.close()
    assert main(["usage", "--ledger", str(tmp_path / "l.db"), "--by", "team", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["by"] == ["team"]


@pytest.mark.parametrize("command", ["serve", "check", "keys", "usage"])
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"pointsman {command}" in capsys.readouterr().out


def test_the_command_line_is_read_without_loading_the_gateway() -> None:
    program = (
        "import sys, gateway.__main__ as m; m.parser(); print(sorted({'gateway.app', 'aiohttp'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_m_gateway_is_the_command() -> None:
    command = [sys.executable, "-m", "gateway", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == parser().format_help()


def test_whoever_reads_may_leave_before_the_end() -> None:
    """As with `pointsman prices show gpt-4o | head -1`."""
    command = f"{sys.executable} -m gateway prices show gpt-4o | true; exit ${{PIPESTATUS[0]}}"
    told = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, told.stdout, told.stderr) == (1, "", "")
