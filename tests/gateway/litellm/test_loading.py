from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gateway.errors import MissingExtra, StartError
from gateway.litellm import loading as litellm_import
from gateway.litellm.loading import MALICIOUS_VERSIONS, load_litellm

ROOT = Path(__file__).resolve().parents[3]
PROBE = """
import json, logging, os, socket, sys, warnings
strays = []
socket.getaddrinfo = lambda host, *rest, **named: strays.append(str(host)) or []
socket.socket.connect = lambda self, address: strays.append(str(address))
sys.path.insert(0, sys.argv[1])
import gateway.litellm.driver
early = "litellm" in sys.modules
from gateway.litellm.loading import load_litellm
litellm = load_litellm()
import time; time.sleep(0.1)
print(json.dumps({
    "early": early, "strays": strays, "env_read": "POINTSMAN_STRAY" in os.environ,
    "lists": [litellm.callbacks, litellm.success_callback, litellm.failure_callback],
    "off": [litellm.telemetry, litellm.drop_params, litellm.set_verbose, litellm.num_retries, litellm.api_key],
    "quiet": not logging.getLogger("LiteLLM").isEnabledFor(logging.CRITICAL),
}))
"""


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="the litellm extra is not installed")
def test_a_fresh_import_contacts_nobody_and_reads_no_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POINTSMAN_STRAY=1\nLITELLM_DROP_PARAMS=True\n")
    environment = {
        "PATH": "/usr/bin",
        "DROP_PARAMS": "True",
        "LITELLM_TELEMETRY": "True",
        "OPENAI_API_KEY": "sk-ambient",
    }
    finished = subprocess.run(
        [sys.executable, "-c", PROBE, str(ROOT)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(finished.stdout) == {
        "early": False,
        "strays": [],
        "env_read": False,
        "lists": [[], [], []],
        "off": [False, False, False, 0, None],
        "quiet": True,
    }
    assert finished.stderr == ""


@pytest.mark.parametrize("version", sorted(MALICIOUS_VERSIONS))
def test_the_stolen_versions_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(litellm_import, "version", lambda _: version)
    with pytest.raises(StartError, match=f"{version} is malicious"):
        load_litellm()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(litellm_import, "version", absent)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[litellm\]' in"):
        load_litellm()
