"""What was decided about devices arrives in llama.cpp's own structures, and what it did is read back."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from gateway.local.frames import Tuning
from gateway.local.reading.devices import (
    CELL_TYPES,
    WEIGHTS,
    find_devices,
    load_ggml,
    overhear,
    place_cells,
    place_weights,
    signs_of_gpu,
    wish_of,
)
from policies.engine_devices import ON_CPU, Device, DeviceRefused, Placement, Wish, homes, placement

if TYPE_CHECKING:
    from pathlib import Path

if importlib.util.find_spec("llama_cpp") is None:
    pytest.skip("llama-cpp-python is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def llama() -> Any:
    return importlib.import_module("llama_cpp.llama_cpp")


def test_a_tuning_says_what_is_wished_of_devices() -> None:
    tuning = Tuning(gpu_layers=7, devices=("CUDA1",), split="none", tensor_split=(1.0,))
    assert wish_of(tuning) == Wish(7, ("CUDA1",), "none", (1.0,))


def test_the_build_tells_its_backends_and_the_processor_among_its_devices() -> None:
    build = find_devices(load_ggml())
    cpu = next(device for device in build.devices if device.kind == "cpu")
    assert "CPU" in build.backends
    assert cpu.name == "CPU"
    assert cpu.total_bytes > 1 << 28


def test_named_devices_and_their_parts_are_arrays_of_llama_cpps_own_form(llama: Any) -> None:
    parameters = llama.llama_model_default_params()
    cards = tuple(Device(f"CUDA{n}", "", "gpu", 1, 1, 0x1000 + n) for n in range(2))
    kept = place_weights(parameters, Placement(20, cards, "layer", (3.0, 1.0)), llama.LLAMA_MAX_DEVICES)
    handles = ctypes.cast(parameters.devices, ctypes.POINTER(ctypes.c_void_p))
    assert [handles[index] for index in range(3)] == [0x1000, 0x1001, None]
    # llama.cpp copies as many numbers as it may have devices, whatever there are.
    assert parameters.tensor_split[: llama.LLAMA_MAX_DEVICES] == [3.0, 1.0] + [0.0] * (llama.LLAMA_MAX_DEVICES - 2)
    assert (parameters.n_gpu_layers, parameters.split_mode) == (20, llama.LLAMA_SPLIT_MODE_LAYER)
    assert len(kept) == 2


def test_without_a_choice_the_list_of_devices_stays_llama_cpps(llama: Any) -> None:
    parameters = llama.llama_model_default_params()
    assert place_weights(parameters, Placement(-1, None, "row"), llama.LLAMA_MAX_DEVICES) == ()
    assert (parameters.devices, parameters.split_mode) == (None, llama.LLAMA_SPLIT_MODE_ROW)


@pytest.mark.parametrize(("kind", "number"), CELL_TYPES.items())
def test_types_of_cells_have_ggmls_numbers(kind: str, number: int) -> None:
    ggml = load_ggml()
    ggml.ggml_type_name.restype = ctypes.c_char_p
    assert ggml.ggml_type_name(number) == kind.encode()


@pytest.mark.parametrize(("attention", "number"), [(None, -1), (True, 1), (False, 0)])
def test_cells_and_attention_are_set(llama: Any, attention: bool | None, number: int) -> None:  # noqa: FBT001 - parametrized
    parameters = llama.llama_context_default_params()
    place_cells(parameters, Tuning(kv_type="bf16", flash_attention=attention))
    assert (parameters.type_k, parameters.type_v, parameters.flash_attn_type) == (30, 30, number)


@pytest.mark.parametrize(
    ("tuning", "reason"),
    [
        (Tuning(kv_type="q8_0", flash_attention=False), "needs flash attention"),
        (Tuning(kv_type="q3_k"), "must be one of"),
    ],
)
def test_cells_that_cannot_be_are_refused(llama: Any, tuning: Tuning, reason: str) -> None:
    with pytest.raises(DeviceRefused, match=reason):
        place_cells(llama.llama_context_default_params(), tuning)


def test_a_model_without_layers_on_gpus_loads_and_its_weights_are_on_the_cpu(llama: Any, tiny_model_path: Path) -> None:
    told: list[int] = []
    usual = llama.llama_log_callback(lambda level, _text, _data: told.append(level))
    parameters = llama.llama_model_default_params()
    kept = place_weights(parameters, ON_CPU, llama.LLAMA_MAX_DEVICES)
    with overhear(llama, usual, WEIGHTS) as buffers:
        handle = llama.llama_model_load_from_file(str(tiny_model_path).encode(), parameters)
    assert handle
    llama.llama_model_free(handle)
    assert homes(buffers, find_devices(load_ggml())) == ("CPU",)
    assert sum(buffers.values()) > 0
    assert told
    assert kept
    from gateway.local.binding.llama import start_library  # noqa: PLC0415 - loads llama.cpp

    start_library()  # its log is one for the whole process


def test_this_machine_answers_a_wish_for_a_gpu_or_says_why_not() -> None:
    build = find_devices(load_ggml())
    if build.gpus:
        assert placement(Wish(1), build).layers == 1
    else:
        with pytest.raises(DeviceRefused, match=r"docs/engine\.md"):
            placement(Wish(1), build)


def test_signs_of_a_gpu_are_files_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.local.reading.devices.SIGNS_OF_GPU", (str(tmp_path), str(tmp_path / "none")))
    monkeypatch.setattr("sys.platform", "linux")
    assert signs_of_gpu() == (str(tmp_path),)
