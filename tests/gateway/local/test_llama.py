from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.local.llama import Context, Model

TEXT = "<|im_start|>user\nGrüße, ☃!<|im_end|>\n"


def test_text_survives_tokens(model: Model) -> None:
    tokens = model.tokenize(TEXT)
    assert [model.special_text(token) for token in tokens[:2]] == ["<|im_start|>", "user"]
    assert model.piece(tokens[0]) == b""
    assert b"".join(model.piece(token) for token in tokens).decode() == "user\nGrüße, ☃!\n"


def test_what_the_model_says_of_itself(model: Model) -> None:
    assert model.vocab_size == 49152
    assert model.trained_context_tokens == 8192
    assert "im_start" in (model.chat_template() or "")
    assert model.eos_text == "<|im_end|>"
    assert model.ends_text(model.tokenize("<|im_end|>")[0])
    assert model.longest_piece_bytes() >= 8


def test_nul_and_control_bytes_tokenize(model: Model) -> None:
    assert b"".join(model.piece(token) for token in model.tokenize("a\0b\x1b")) == b"a\0b\x1b"


def test_a_file_that_is_no_model_is_unusable(tmp_path: Path, model: Model) -> None:
    from gateway.local.llama import ModelUnusable  # noqa: PLC0415 - loads llama.cpp

    assert model
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelUnusable, match="cannot load"):
        type(model)(tmp_path / "m.gguf", lambda _: None)


def test_progress_is_reported_up_to_the_end(model_path: Path, model: Model) -> None:
    seen: list[float] = []
    type(model)(model_path, seen.append, plain_weights=True).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_rewinding_gives_the_same_logits_again(model: Model, context: Context) -> None:
    tokens = model.tokenize(TEXT)
    row = context.decode(tokens).copy()
    context.decode(tokens[:3])
    assert context.rewind(0) == 0
    assert np.array_equal(context.decode(tokens), row)


def test_a_batch_that_does_not_fit_is_refused_before_llama_cpp_aborts(model: Model) -> None:
    from gateway.local.llama import Context, DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    context = Context(model, 64, 1)
    for tokens in ([], [1] * (context.batch_tokens + 1)):
        with pytest.raises(DecodeFailed, match="do not fit"):
            context.append(tokens)
    for _ in range(context.context_tokens // context.batch_tokens):
        context.append([1] * context.batch_tokens)
    with pytest.raises(DecodeFailed, match="do not fit"):
        context.decode([1])
    context.close()


def test_a_token_that_does_not_exist_is_llama_cpps_no(context: Context) -> None:
    from gateway.local.llama import DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    with pytest.raises(DecodeFailed, match="llama_decode says"):
        context.decode([10**6])
