"""The doctor tells what is there and what is wrong, in words and in JSON, with or without llama.cpp."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway import machine
from gateway.commands import engine_doctor
from gateway.commands.engine_doctor import findings, run
from gateway.local.reading.build_facts import BuildFacts
from gateway.machine import Card, Machine
from policies.engine_devices import Build, Device
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
CPU = Device("CPU", "Processor", "cpu", 8 * GIB, 16 * GIB)
H100 = Device("CUDA0", "NVIDIA H100", "gpu", 79 * GIB, 80 * GIB)
ON_CPU = BuildFacts("", "0.3.36", supports_gpu=False, system_info="CPU : AVX2 = 1", build=Build(("CPU",), (CPU,)))
ON_GPU = BuildFacts("", "0.3.36", supports_gpu=True, build=Build(("CUDA", "CPU"), (H100, CPU)))
NO_DRIVER = BuildFacts("", "0.3.36", build=Build(("CUDA", "CPU"), (CPU,)))
BARE = Machine(8, 16 * GIB, 12 * GIB)
WITH_CARD = BARE._replace(cards=(Card("NVIDIA H100", 80 * GIB, 79 * GIB, "580.1"),))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without a GPU and a build without one."""
    monkeypatch.setattr(engine_doctor, "ask_build", lambda: ON_CPU)
    monkeypatch.setattr(engine_doctor, "signs_of_gpu", lambda: ())
    monkeypatch.setattr(machine, "look", lambda: BARE)
    return monkeypatch


@pytest.mark.parametrize(
    ("facts", "machine_", "signs", "told"),
    [
        (ON_CPU, BARE, (), None),
        (ON_GPU, WITH_CARD, ("/dev/nvidiactl",), None),
        (ON_CPU, WITH_CARD, ("/dev/nvidiactl",), "this machine has a GPU (NVIDIA H100), and this build cannot use it"),
        (ON_CPU, BARE, ("/dev/kfd",), "has a GPU (/dev/kfd)"),
        (NO_DRIVER, BARE, (), "built for CUDA, finds no such device"),
        (BuildFacts("llama.cpp is not installed: run pip"), WITH_CARD, (), "is not installed: run pip"),
    ],
)
def test_a_gpu_that_is_not_used_is_found(
    facts: BuildFacts, machine_: Machine, signs: tuple[str, ...], told: str | None
) -> None:
    found = list(findings(facts, machine_, signs))
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


@pytest.mark.usefixtures("here")
def test_all_is_well_where_nothing_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_text_model(tmp_path)
    assert run([path], as_json=False) == 0
    report = capsys.readouterr().out
    assert "llama-cpp-python 0.3.36, backends CPU" in report
    assert "8 cores, 12.0 GiB of 16.0 GiB memory free" in report
    assert f'model_path: "{path}"' in report
    assert report.endswith("All is well.\n")


def test_a_limit_and_a_card_are_told(here: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    here.setattr(machine, "look", lambda: WITH_CARD._replace(limits=("memory 4096 MiB",)))
    assert run([], as_json=False) == 1
    report = capsys.readouterr().out
    assert "the container's limit: memory 4096 MiB" in report
    assert "NVIDIA H100, driver 580.1, 79.0 GiB of 80.0 GiB free" in report
    assert "scripts/build_llama_wheel.sh builds it with BACKEND=cuda" in report


def test_without_llama_cpp_the_rest_is_told_all_the_same(
    here: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here.setattr(engine_doctor, "ask_build", lambda: BuildFacts("llama.cpp is not installed: run pip"))
    assert run([tiny_text_model(tmp_path)], as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["build"]["version"] is None
    assert told["machine"]["cores"] == 8
    assert told["models"][0]["advice"]["fits"]
    assert told["found"] == ["llama.cpp is not installed: run pip"]


@pytest.mark.usefixtures("here")
def test_a_model_that_is_not_there_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([tmp_path / "no.gguf"], as_json=True) == 1
    assert "there is no file" in json.loads(capsys.readouterr().out)["found"][0]
