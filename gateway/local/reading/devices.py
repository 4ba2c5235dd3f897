"""llama.cpp's devices and its parameters that name them: what `policies.engine_devices` decides, put into ctypes.

Only the worker and the doctor's probe use this module.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from policies.engine_devices import Build, Device, DeviceRefused, Wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.frames import Tuning
    from policies.engine_devices import Placement

KINDS: Final = {0: "cpu", 1: "gpu", 2: "integrated gpu", 3: "accelerator"}
SPLIT_MODES: Final = {"none": 0, "layer": 1, "row": 2}
# ggml's numbers of types are part of the GGUF format, so they stay.
EXACT_TYPES: Final = {"f32": 0, "f16": 1, "bf16": 30}
CELL_TYPES: Final = EXACT_TYPES | {"q8_0": 8, "q5_1": 7, "q5_0": 6, "q4_1": 3, "q4_0": 2, "iq4_nl": 20}
# Each is there only where the system knows of such a device: NVIDIA's, AMD's, Windows' for Linux.
SIGNS_OF_GPU: Final = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")

WEIGHTS = re.compile(rb"(\S+) model buffer size = *([0-9.]+) MiB")
CONTEXT = re.compile(rb"(\S+ +(?:KV|RS|compute|output)) buffer size = *([0-9.]+) MiB")


def wish_of(tuning: Tuning) -> Wish:
    return Wish(tuning.gpu_layers, tuning.devices, tuning.split, tuning.tensor_split)


def signs_of_gpu() -> tuple[str, ...]:
    """What on this machine says that there is a GPU, whether or not llama.cpp can use it."""
    found = tuple(path for path in SIGNS_OF_GPU if Path(path).exists())
    return (*found, "macOS") if sys.platform == "darwin" else found


def load_ggml() -> Any:  # noqa: ANN401 - a ctypes library
    """ggml of the installed llama-cpp-python, which has no bindings for devices: typed here."""
    from llama_cpp import _ggml  # noqa: PLC0415 - importing it loads the shared library

    ggml = _ggml.libggml
    size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("ggml_backend_load_all", None, []),
        ("ggml_backend_reg_count", size, []),
        ("ggml_backend_reg_get", pointer, [size]),
        ("ggml_backend_reg_name", text, [pointer]),
        ("ggml_backend_dev_count", size, []),
        ("ggml_backend_dev_get", pointer, [size]),
        ("ggml_backend_dev_name", text, [pointer]),
        ("ggml_backend_dev_description", text, [pointer]),
        ("ggml_backend_dev_type", ctypes.c_int, [pointer]),
        ("ggml_backend_dev_memory", None, [pointer, ctypes.POINTER(size), ctypes.POINTER(size)]),
    ):
        function = getattr(ggml, name)
        function.restype, function.argtypes = result, arguments
    return ggml


def find_devices(ggml: Any) -> Build:  # noqa: ANN401 - a ctypes library
    """Every backend and device. A GPU's first look at its memory makes a context there, which takes a second."""
    if not ggml.ggml_backend_reg_count():
        ggml.ggml_backend_load_all()  # a build whose backends are libraries of their own
    backends = (ggml.ggml_backend_reg_get(index) for index in range(ggml.ggml_backend_reg_count()))
    handles = (ggml.ggml_backend_dev_get(index) for index in range(ggml.ggml_backend_dev_count()))
    return Build(
        tuple(ggml.ggml_backend_reg_name(backend).decode() for backend in backends),
        tuple(_describe(ggml, handle) for handle in handles),
    )


def _describe(ggml: Any, handle: int) -> Device:  # noqa: ANN401 - a ctypes library
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    kind = KINDS.get(ggml.ggml_backend_dev_type(handle), "other")
    name, description = ggml.ggml_backend_dev_name(handle), ggml.ggml_backend_dev_description(handle)
    return Device(name.decode(), description.decode(errors="replace"), kind, free.value, total.value, handle)


def place_weights(parameters: Any, where: Placement, parts_max: int) -> tuple[object, ...]:  # noqa: ANN401 - a ctypes struct
    """Put `where` into a model's parameters. What comes back must live until the model is loaded."""
    parameters.n_gpu_layers = where.layers
    parameters.split_mode = SPLIT_MODES[where.split]
    parameters.main_gpu = 0
    kept: list[object] = []
    if where.chosen is not None:
        handles = (ctypes.c_void_p * (len(where.chosen) + 1))(*(device.handle for device in where.chosen))
        parameters.devices = ctypes.cast(handles, ctypes.c_void_p)
        # An empty list leaves no GPU at all, not even for scratch memory; there is no main one to choose then.
        parameters.main_gpu = 0 if where.chosen else -1
        kept.append(handles)
    if where.parts:
        parts = (ctypes.c_float * max(parts_max, len(where.parts)))(*where.parts)
        parameters.tensor_split = ctypes.cast(parts, ctypes.POINTER(ctypes.c_float))
        kept.append(parts)
    return tuple(kept)


def place_cells(parameters: Any, tuning: Tuning) -> None:  # noqa: ANN401 - a ctypes struct
    """Put the type of cells and the kind of attention into a context's parameters. Raises `DeviceRefused`."""
    kind, attention = tuning.kv_type, tuning.flash_attention
    if kind not in CELL_TYPES:
        raise DeviceRefused(f"kv_type must be one of {', '.join(CELL_TYPES)}")
    if kind not in EXACT_TYPES and attention is False:
        raise DeviceRefused(f"kv_type {kind} needs flash attention, which is switched off")
    parameters.flash_attn_type = -1 if attention is None else int(attention)
    parameters.type_k = parameters.type_v = CELL_TYPES[kind]


@contextlib.contextmanager
def overhear(llama: Any, usual: Any, said: re.Pattern[bytes]) -> Iterator[dict[str, float]]:  # noqa: ANN401 - ctypes
    """What llama.cpp says of the memory that it takes meanwhile, in MiB by its buffers' names.

    `usual` is its log's callback before and after, and hears everything meanwhile.
    """
    buffers: dict[str, float] = {}

    @llama.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
    def listen(level: int, text: bytes, data: object) -> None:
        if found := said.search(text or b""):
            name = found[1].decode(errors="replace")
            buffers[name] = buffers.get(name, 0.0) + float(found[2])
        usual(level, text, data)

    llama.llama_log_set(listen, ctypes.c_void_p())
    try:
        yield buffers
    finally:
        llama.llama_log_set(usual, ctypes.c_void_p())
