"""From a provider in the policy to the order that its worker gets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.config import LlamaCppProvider
from gateway.local.frames import Tuning
from gateway.local.serving.engine_check import MissingModel
from gateway.local.serving.keeping import Keeping
from gateway.local.serving.specs import spec_of

if TYPE_CHECKING:
    from pathlib import Path


def provider(path: Path | str, **settings: object) -> LlamaCppProvider:
    return LlamaCppProvider.model_validate({"kind": "llama_cpp", "model_path": str(path), **settings})


def test_what_is_not_said_is_left_to_the_worker(tiny_model_path: Path) -> None:
    spec = spec_of("local", provider(tiny_model_path))
    assert (spec.name, spec.load.model_path, spec.load.task) == ("local", str(tiny_model_path), "text")
    assert (spec.load.tuning, spec.load.max_waiting, spec.keeping) == (Tuning(), 64, Keeping())
    assert spec.needed_bytes > 64 << 20


def test_all_that_is_said_arrives(tiny_model_path: Path, tiny_adapter_path: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    spec = spec_of(
        "local",
        provider(
            tiny_model_path,
            slots=3,
            context_tokens=512,
            kv="unified",
            kv_type="bf16",
            flash_attention=True,
            max_decode_gap="100ms",
            on_overflow="shift",
            cache={"memory": "1MiB", "folder": str(tmp_path)},
            gpu_layers=4,
            devices=["CUDA0"],
            chat_template=str(tmp_path / "t.jinja"),
            adapters={"support": str(tiny_adapter_path)},
            max_queue=9,
            load="on_demand",
            keep_alive="5m",
            warm_up=False,
        ),
    )
    tuning = spec.load.tuning
    assert (tuning.slots, tuning.context_tokens, tuning.unified, tuning.kv_type) == (3, 512, True, "bf16")
    assert (tuning.flash_attention, tuning.max_decode_gap_s, tuning.on_overflow) == (True, 0.1, "shift")
    assert (tuning.cache_bytes, tuning.cache_folder) == (1 << 20, str(tmp_path))
    assert (tuning.gpu_layers, tuning.devices, tuning.speculate) == (4, ("CUDA0",), True)
    assert spec.load.adapters == (("support", str(tiny_adapter_path)),)
    assert (spec.load.chat_template, spec.load.max_waiting, spec.load.warm_up) == ("{{ messages }}", 9, False)
    assert spec.keeping == Keeping(on_demand=True, keep_alive_s=300.0)


def test_deterministic_engines_do_not_guess(tiny_model_path: Path) -> None:
    assert not spec_of("local", provider(tiny_model_path, deterministic=True)).load.tuning.speculate


def test_more_takes_more(tiny_model_path: Path) -> None:
    few, many, cached = (
        spec_of("local", provider(tiny_model_path, **settings)).needed_bytes
        for settings in ({"slots": 1}, {"slots": 64}, {"slots": 1, "cache": {"memory": "1GiB"}})
    )
    assert few < many
    assert cached == few + (1 << 30)


@pytest.mark.parametrize(("task", "expected"), [("auto", "embed"), ("text", "text")])
def test_a_task_that_is_stated_goes_first(tiny_embedding_path: Path, task: str, expected: str) -> None:
    assert spec_of("local", provider(tiny_embedding_path, task=task)).load.task == expected


def test_a_file_that_cannot_be_loaded_is_told_with_what_is_wrong(tmp_path: Path, tiny_model_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        spec_of("local", provider(tmp_path / "no.gguf"))
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model_path.read_bytes()[:-1000])
    with pytest.raises(MissingModel, match=r"cut\.gguf ends before the weights"):
        spec_of("local", provider(cut))
    with pytest.raises(MissingModel, match=r"kv_type q8_0 takes numbers by 32, and each head of this model has 16"):
        spec_of("local", provider(tiny_model_path, kv_type="q8_0"))
    with pytest.raises(MissingModel, match=r"the adapter support, .*: is no LoRA adapter"):
        spec_of("local", provider(tiny_model_path, adapters={"support": str(tiny_model_path)}))


@pytest.mark.parametrize("setting", ["chat_template", "adapter"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing", "huge", "binary"])
def test_files_that_are_none_are_refused_without_being_read(
    tiny_model_path: Path, tmp_path: Path, kind: str, setting: str
) -> None:
    """A pipe that nobody writes to would be waited for, and a device that never ends would fill the memory."""
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 1 << 40)
    elif kind == "binary":
        path.write_bytes(b"GGUF\xff\xfe")
    settings: dict[str, object] = {setting: str(path)} if setting != "adapter" else {"adapters": {"a": str(path)}}
    with pytest.raises(MissingModel, match=r"odd: \S"):
        spec_of("local", provider(tiny_model_path, **settings))
