from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.gateway_process import ROOT


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_as_a_program_it_writes_one_json_document_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.local.reading.probe"], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    told = json.loads(done.stdout)
    assert {"version", "backends", "devices", "supports_gpu_offload", "system_info"} <= told.keys()
    assert done.stderr == b""
