"""What model files say of themselves, held against what llama.cpp says of the same files."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.local.reading.gguf import read_model, shape_of
from gateway.local.reading.gguf_reading import BrokenGguf
from policies.engine_memory import ContextShape, memory_of
from tests.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.local.binding.llama import Model

WEIGHTS = {"blk.0.a": np.zeros(32, np.float32), "blk.1.a": np.zeros(64, np.float32), "out": np.zeros(8, np.float32)}
LLAMA: dict[str, Any] = {"general.architecture": "llama", "llama.block_count": 2}


def test_a_real_model_tells_its_shape(model_path: Path) -> None:
    found = read_model(model_path)
    assert (found.architecture, found.file_type, found.task, found.layers) == ("llama", "Q4_1", "text", 30)
    assert (found.heads, found.kv_heads[0], found.key_length, found.value_length) == (9, 3, 64, 64)
    assert (found.context_tokens, found.vocabulary_size, found.embedding_size) == (8192, 49_152, 576)
    assert "<|im_start|>" in found.chat_template
    assert not shape_of(found).is_bounded
    assert len(set(found.layer_bytes)) == 1


def test_a_model_takes_what_was_foretold(model: Model, model_path: Path) -> None:
    """Weights to the byte, the context within 15 % of what llama.cpp says that it made."""
    from gateway.local.binding.llama import LLAMA as api  # noqa: PLC0415, N811 - loads llama.cpp
    from gateway.local.binding.llama import start_library  # noqa: PLC0415

    told: list[str] = []

    @api.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
    def listen(_level: int, text: bytes, _data: object) -> None:
        told.append(text.decode())

    foretold = memory_of(shape_of(read_model(model_path)), ContextShape(2, 1024))
    parameters = api.llama_context_default_params()
    parameters.n_ctx, parameters.n_seq_max, parameters.n_outputs_max = 2048, 2, 18
    parameters.n_batch = parameters.n_ubatch = 512
    api.llama_log_set(listen, ctypes.c_void_p())
    try:
        api.llama_free(api.llama_init_from_model(model.handle, parameters))
    finally:
        start_library()
    sizes = [float(size) for size in re.findall(r"buffer size = +([0-9.]+) MiB", "".join(told))]
    assert len(sizes) == 3
    assert foretold.weights_bytes == api.llama_model_size(model.handle)
    assert foretold.cells_bytes + foretold.compute_bytes == pytest.approx(sum(sizes) * (1 << 20), rel=0.15)


def test_tasks_go_by_what_a_file_was_made_for(
    tiny_model_path: Path, tiny_embedding_path: Path, tiny_rerank_path: Path
) -> None:
    found = [read_model(path).task for path in (tiny_model_path, tiny_embedding_path, tiny_rerank_path)]
    assert found == ["text", "embed", "rerank"]


def test_encoders_keep_no_cells(tiny_embedding_path: Path) -> None:
    assert memory_of(shape_of(read_model(tiny_embedding_path)), ContextShape()).cells_bytes == 0


def test_weights_are_counted_by_layer(tmp_path: Path) -> None:
    found = read_model(write_gguf(tmp_path / "x.gguf", LLAMA, WEIGHTS))
    assert (found.layer_bytes, found.other_bytes, found.tensor_bytes, found.tensor_count) == ((128, 256), 32, 416, 3)


def test_layers_may_differ_and_some_keep_no_cells(tmp_path: Path) -> None:
    told = {"llama.attention.head_count": 4, "llama.attention.head_count_kv": [2, 0], "llama.embedding_length": 64}
    shape = shape_of(read_model(write_gguf(tmp_path / "x.gguf", LLAMA | told, WEIGHTS)))
    assert shape.key_numbers == (32, 0)


@pytest.mark.parametrize("key", ["attention.sliding_window", "ssm.state_size", "attention.kv_lora_rank"])
def test_what_keeps_less_than_a_cell_for_each_token_is_only_bounded(tmp_path: Path, key: str) -> None:
    path = write_gguf(tmp_path / "x.gguf", LLAMA | {f"llama.{key}": 4}, WEIGHTS)
    assert shape_of(read_model(path)).is_bounded


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"general.type": "adapter"}, "holds no model but an adapter"),
        ({"general.architecture": 3}, "that is no text"),
        ({"llama.block_count": 99_999}, "cannot be"),
        ({"llama.block_count": "two"}, "cannot be"),
        ({"llama.attention.head_count_kv": [1, 2, 3]}, "3 numbers of heads for 2 layers"),
        ({"llama.pooling_type": 9}, "unknown kind of pooling"),
        ({"llama.embedding_length": list(range(5000))}, "cannot be"),
        ({"split.count": 2}, "not called NAME-00001-of-00002.gguf"),
        ({"split.count": 2, "split.no": 1}, "is part 2 of 2; name the first one"),
        ({"split.count": 9999}, "cannot be"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, told: dict[str, Any], why: str) -> None:
    path = write_gguf(tmp_path / "x.gguf", LLAMA | told, WEIGHTS)
    with pytest.raises(BrokenGguf, match=why):
        read_model(path)


def test_a_file_without_an_architecture_or_weights_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BrokenGguf, match="architecture"):
        read_model(write_gguf(tmp_path / "x.gguf", {"a": 1}, WEIGHTS))
    with pytest.raises(BrokenGguf, match="no weights"):
        read_model(write_gguf(tmp_path / "y.gguf", LLAMA, {}))


def test_a_model_in_several_files_is_one(tmp_path: Path) -> None:
    first = LLAMA | {"split.count": 2, "split.no": 0}
    path = write_gguf(tmp_path / "m-00001-of-00002.gguf", first, {"blk.0.a": np.zeros(32, np.float32)})
    with pytest.raises(BrokenGguf, match=r"m-00002-of-00002\.gguf is missing"):
        read_model(path)
    rest = {"split.no": 1, "split.count": 2}
    write_gguf(tmp_path / "m-00002-of-00002.gguf", rest, {"blk.1.a": np.zeros(64, np.float32)})
    found = read_model(path)
    assert (len(found.files), found.layer_bytes) == (2, (128, 256))
