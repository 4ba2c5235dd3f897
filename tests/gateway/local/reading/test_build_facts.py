"""A build is asked in another process: whatever ends that one is an answer."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from gateway.local.reading import build_facts
from gateway.local.reading.build_facts import ask_build
from gateway.local.reading.probe import probe

NEEDS_LLAMA = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed"
)


def saying(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@NEEDS_LLAMA
def test_this_build_tells_what_it_is() -> None:
    facts = ask_build()
    assert facts.trouble == ""
    assert facts.version
    assert "CPU" in facts.build.backends
    assert facts.supports_gpu == bool(facts.build.gpus)
    assert "CPU" in facts.system_info


@NEEDS_LLAMA
def test_the_probe_says_it_in_json_without_pointers() -> None:
    told = json.loads(json.dumps(probe()))
    assert all(device["handle"] == 0 for device in told["devices"])


@NEEDS_LLAMA
@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "ended by signal 6: without a word"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "compiled for another processor"),
        ("raise OSError('libcublas.so.13: cannot open shared object file')", "cannot be loaded: OSError: libcublas"),
        ("print('{}')", "makes no sense: KeyError"),
        ("print('hello')", "makes no sense"),
        ('print(\'{"devices": [{"nome": 1}], "version": 1}\')', "makes no sense"),
    ],
)
def test_a_broken_build_is_reported(code: str, trouble: str) -> None:
    assert trouble in ask_build(saying(code)).trouble


@NEEDS_LLAMA
def test_a_build_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_facts, "PATIENCE_S", 0.2)
    assert "did not answer" in ask_build(saying("import time; time.sleep(60)")).trouble


def test_without_llama_cpp_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_facts, "is_installed", lambda _: False)
    assert "pip install '.[llama]'" in ask_build().trouble


@NEEDS_LLAMA
def test_an_interpreter_that_is_not_there_is_reported() -> None:
    assert "could not be asked" in ask_build(("/no/such/python",)).trouble
