from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.local.binding.llama import Model

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
    from gateway.local.binding.llama import ModelUnusable  # noqa: PLC0415 - loads llama.cpp

    assert model
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelUnusable, match="cannot load"):
        type(model)(tmp_path / "m.gguf", lambda _: None)


def test_progress_is_reported_up_to_the_end(model_path: Path, model: Model) -> None:
    seen: list[float] = []
    type(model)(model_path, seen.append, plain_weights=True).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
