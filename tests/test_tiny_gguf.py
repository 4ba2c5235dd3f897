"""llama.cpp takes the made-up models for real ones, and they do what the engine's tests count on."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.tiny_gguf import TextShape, tiny_adapter, tiny_embedding_model, tiny_rerank_model, tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

C = pytest.importorskip("llama_cpp.llama_cpp")
QUIET = C.llama_log_callback(lambda _level, _text, _data: None)


@pytest.fixture(autouse=True)
def quiet() -> None:
    C.llama_log_set(QUIET, ctypes.c_void_p())


class Loaded:
    """A model, a context of one sequence, and greedy continuation."""

    def __init__(self, path: Path, *, pooled: bool = False) -> None:
        self.model = C.llama_model_load_from_file(str(path).encode(), C.llama_model_default_params())
        assert self.model
        parameters = C.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 256
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.embeddings = pooled
        self.context = C.llama_init_from_model(self.model, parameters)
        self.vocab = C.llama_model_get_vocab(self.model)

    def tokens(self, text: str) -> list[int]:
        room = (C.llama_token * 256)()
        return list(room[: C.llama_tokenize(self.vocab, text.encode(), len(text.encode()), room, 256, True, True)])

    def read(self, tokens: list[int]) -> None:
        array = (C.llama_token * len(tokens))(*tokens)
        assert C.llama_decode(self.context, C.llama_batch_get_one(array, len(tokens))) == 0

    def row(self) -> NDArray[np.float32]:
        return np.ctypeslib.as_array(C.llama_get_logits_ith(self.context, -1), (C.llama_vocab_n_tokens(self.vocab),))

    def pooled(self, text: str, numbers: int) -> NDArray[np.float32]:
        self.read(self.tokens(text))
        return np.ctypeslib.as_array(C.llama_get_embeddings_seq(self.context, 0), (numbers,)).copy()

    def continued(self, text: str, count: int) -> list[int]:
        C.llama_memory_clear(C.llama_get_memory(self.context), True)
        self.read(self.tokens(text))
        said: list[int] = []
        while len(said) < count and not C.llama_vocab_is_eog(self.vocab, token := int(self.row().argmax())):
            said.append(token)
            self.read([token])
        return said

    def close(self) -> None:
        C.llama_free(self.context)
        C.llama_model_free(self.model)


@pytest.fixture
def text(tmp_path: Path) -> Iterator[Loaded]:
    loaded = Loaded(tiny_text_model(tmp_path))
    yield loaded
    loaded.close()


def test_the_text_depends_on_the_prompt_and_does_not_end_by_itself(text: Loaded) -> None:
    hello, here = text.continued("hello", 100), text.continued("here", 100)
    assert len(hello) == len(here) == 100
    assert hello != here
    assert len(set(hello)) > 10
    assert text.continued("hello", 100) == hello


def test_a_favoured_end_of_text_comes_soon(tmp_path: Path) -> None:
    loaded = Loaded(tiny_text_model(tmp_path, TextShape(eos_logit=6.0)))
    assert len(loaded.continued("hello", 100)) < 50
    loaded.close()


def test_control_tokens_and_merges_are_tokens(text: Loaded) -> None:
    assert len(text.tokens("<|im_start|>hello<|im_end|>")) == 3
    assert len(text.tokens("ü")) == 2


def test_an_adapter_changes_the_text(text: Loaded, tmp_path: Path) -> None:
    plain = text.continued("hello", 50)
    adapter = C.llama_adapter_lora_init(text.model, str(tiny_adapter(tmp_path)).encode())
    assert adapter
    adapters, scales = (C.llama_adapter_lora_p_ctypes * 1)(adapter), (ctypes.c_float * 1)(1.0)
    assert C.llama_set_adapters_lora(text.context, adapters, 1, scales) == 0
    assert text.continued("hello", 50) != plain
    assert C.llama_set_adapters_lora(text.context, None, 0, None) == 0
    assert text.continued("hello", 50) == plain


def test_texts_that_share_words_lie_nearer(tmp_path: Path) -> None:
    loaded = Loaded(tiny_embedding_model(tmp_path), pooled=True)
    one, near, far = (loaded.pooled(said, 32) for said in ("the cat is in the sea", "a cat in the sea", "xyz 123 qq!"))
    loaded.close()
    assert near @ one / math.hypot(*near) / math.hypot(*one) > far @ one / math.hypot(*far) / math.hypot(*one) + 0.1


def test_a_rerank_model_gives_one_score_for_each_text(tmp_path: Path) -> None:
    loaded = Loaded(tiny_rerank_model(tmp_path), pooled=True)
    assert C.llama_pooling_type(loaded.context) == C.LLAMA_POOLING_TYPE_RANK
    scores = {float(loaded.pooled(said, 1)[0]) for said in ("the cat", "a dog in the city")}
    loaded.close()
    assert len(scores) == 2
