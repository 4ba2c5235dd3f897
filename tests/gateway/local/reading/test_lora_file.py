from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.local.reading.gguf import read_model
from gateway.local.reading.lora_file import adapter_problem
from tests.gguf_writer import write_gguf
from tests.tiny_gguf import TextShape, tiny_adapter, tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.local.reading.gguf import ModelFile
    from tests.gguf_writer import Array, Value

WIDTH, RANK = 64, 4
Q, K = "blk.0.attn_q.weight", "blk.0.attn_k.weight"
CLAIMS: dict[str, Value] = {
    "general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return read_model(tiny_text_model(tmp_path_factory.mktemp("lora")))


def pair(target: str = Q, inputs: int = WIDTH, outputs: int = WIDTH, rank: int = RANK) -> dict[str, Array]:
    return {
        f"{target}.lora_a": np.ones((rank, inputs), np.float16),
        f"{target}.lora_b": np.ones((outputs, rank), np.float16),
    }


def problem(tmp_path: Path, model: ModelFile, tensors: dict[str, Array], **claims: Value) -> str | None:
    stated = CLAIMS | {key.replace("__", "."): value for key, value in claims.items()}
    return adapter_problem(write_gguf(tmp_path / "adapter.gguf", stated, tensors), model)


def test_what_fits_is_no_problem(tmp_path: Path, model: ModelFile) -> None:
    assert adapter_problem(tiny_adapter(tmp_path), model) is None
    assert problem(tmp_path, model, pair() | {"blk.0.attn_norm.weight": np.ones(WIDTH, np.float32)}) is None
    assert problem(tmp_path, model, pair(K, WIDTH, WIDTH // 2)) is None


def test_adapters_are_told_from_all_else(tmp_path: Path, model: ModelFile) -> None:
    assert adapter_problem(model.files[0], model) == "is no LoRA adapter"
    assert "No such file" in str(adapter_problem(tmp_path / "no.gguf", model))
    (tmp_path / "text").write_text("hello, this is no GGUF")
    assert adapter_problem(tmp_path / "text", model) == "is not a GGUF file"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"general__type": "model"}, "is no LoRA adapter"),
        ({"adapter__type": "ia3"}, "is no LoRA adapter"),
        ({"general__architecture": "qwen2"}, "is an adapter for qwen2"),
        ({"general__architecture": 7}, "says something at 'general.architecture' that cannot be"),
        ({"adapter__lora__alpha": 8}, "says something at 'adapter.lora.alpha' that cannot be"),
        ({"adapter__lora__alpha": float("nan")}, "has an alpha that is no number"),
        ({"adapter__alora__invocation_tokens": [1, 2]}, "is to be activated within a text"),
    ],
)
def test_claims_that_llama_cpp_would_end_the_process_over(
    tmp_path: Path, model: ModelFile, claims: dict[str, Value], expected: str
) -> None:
    assert str(problem(tmp_path, model, pair(), **claims)).startswith(expected)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({}, "changes nothing"),
        (pair() | {"blk.0.attn_q.bias": np.ones(WIDTH, np.float32)}, "has 'blk.0.attn_q.bias', which is no part"),
        ({f"{Q}.lora_a": pair()[f"{Q}.lora_a"]}, f"has half of '{Q}' only"),
        (pair("blk.9.attn_q.weight"), "changes 'blk.9.attn_q.weight', which the model does not have"),
        (pair(inputs=32), f"is for another model: its shape at '{Q}'"),
        (pair(outputs=32), f"is for another model: its shape at '{Q}'"),
        (pair() | {f"{Q}.lora_b": np.ones((WIDTH, RANK + 1), np.float16)}, f"is for another model: its shape at '{Q}'"),
        (
            {
                f"{Q}.lora_a": np.ones((2, RANK, WIDTH), np.float16),
                f"{Q}.lora_b": np.ones((2, WIDTH, RANK), np.float16),
            },
            f"is for another model: its shape at '{Q}'",
        ),
        (pair("token_embd.weight", 64, 64), "is for another model: its shape at 'token_embd.weight'"),
        (pair("output_norm.weight"), "is for another model: its shape at 'output_norm.weight'"),
        (pair(rank=4097), f"is for another model: its shape at '{Q}'"),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, model: ModelFile, tensors: dict[str, Array], expected: str) -> None:
    assert str(problem(tmp_path, model, tensors)).startswith(expected)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, model: ModelFile) -> None:
    path = tiny_adapter(tmp_path, TextShape())
    path.write_bytes(path.read_bytes()[:-3000])
    assert "ends before the weights" in str(adapter_problem(path, model))


def test_an_adapter_of_shared_embeddings_is_refused(tmp_path: Path, model: ModelFile) -> None:
    """Where a model writes with the matrix that it reads with, llama.cpp would end the process."""
    vocabulary = model.vocabulary_size
    embedding: dict[str, Array] = {
        "token_embd.weight.lora_a": np.ones((vocabulary, RANK), np.float16),
        "token_embd.weight.lora_b": np.ones((WIDTH, RANK), np.float16),
    }
    assert problem(tmp_path, model, embedding) is None
    tied = write_gguf(
        tmp_path / "tied.gguf",
        {"general.architecture": "llama", "llama.block_count": 0},
        {"token_embd.weight": np.ones((vocabulary, WIDTH), np.float16)},
    )
    assert "also writes with" in str(problem(tmp_path, read_model(tied), embedding))
