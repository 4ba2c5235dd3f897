"""A model's working memory for vectors and scores: whole texts in, one row of numbers each out.

llama.cpp aborts the process on a text that is longer than what it reads at once, so every limit is read back from it
and checked here. Only the worker imports this module.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from gateway.local.binding.llama import LLAMA, DecodeFailed, ModelUnusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gateway.local.binding.llama import Model
    from gateway.local.frames import Tuning

MAX_TEXTS = 64
"""Texts in one call of llama.cpp. Its own ceiling is 256 sequences."""
DEFAULT_TEXT_TOKENS = 8192


class Pooling(IntEnum):
    """How the rows of a text's tokens become one, by llama.cpp's numbers."""

    UNSPECIFIED = -1
    NONE = 0
    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4


class VectorContext:
    """It belongs to one thread. `text_tokens` is the longest text, `batch_tokens` the most that one call reads.

    `width` is how many numbers a text gets: a vector's size, or the number of a ranking model's classes.
    """

    def __init__(self, model: Model, task: str, tuning: Tuning, threads: int) -> None:
        self._model = model
        wanted = min(model.trained_context_tokens, tuning.context_tokens or DEFAULT_TEXT_TOKENS)
        self.handle = _open(model, _parameters(wanted, threads, tuning), _pooling(model, task))
        self.pooling = Pooling(LLAMA.llama_pooling_type(self.handle))
        self._memory = LLAMA.llama_get_memory(self.handle)
        self.batch_tokens: int = min(LLAMA.llama_n_batch(self.handle), LLAMA.llama_n_ubatch(self.handle))
        self.text_tokens: int = min(self.batch_tokens, wanted)
        ranks = self.pooling is Pooling.RANK
        self.width: int = (LLAMA.llama_model_n_cls_out if ranks else LLAMA.llama_model_n_embd_out)(model.handle)
        self._batch = LLAMA.llama_batch_init(self.batch_tokens, 0, 1)
        for index in range(self.batch_tokens):
            self._batch.n_seq_id[index] = 1
        shape = (self.batch_tokens,)
        self._tokens = np.ctypeslib.as_array(self._batch.token, shape)
        self._positions = np.ctypeslib.as_array(self._batch.pos, shape)
        np.ctypeslib.as_array(self._batch.logits, shape)[:] = 1

    def read(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """One row of `width` numbers for each text, in order. Raises `DecodeFailed`."""
        total = sum(map(len, texts))
        if not 0 < len(texts) <= MAX_TEXTS or not all(texts) or total > self.batch_tokens:
            raise DecodeFailed(f"{len(texts)} texts of {total} tokens do not fit")
        if max(map(len, texts)) > self.text_tokens:
            raise DecodeFailed(f"a text is longer than {self.text_tokens} tokens")
        self._fill(texts)
        if self._memory:
            LLAMA.llama_memory_clear(self._memory, False)
            verdict = LLAMA.llama_decode(self.handle, self._batch)
        else:
            verdict = LLAMA.llama_encode(self.handle, self._batch)
        if verdict != 0:
            raise DecodeFailed(f"llama.cpp says {verdict}")
        return self._rows(len(texts))

    def _fill(self, texts: Sequence[Sequence[int]]) -> None:
        start = 0
        for sequence, tokens in enumerate(texts):
            end = start + len(tokens)
            self._tokens[start:end] = tokens
            self._positions[start:end] = range(len(tokens))
            for index in range(start, end):
                self._batch.seq_id[index][0] = sequence
            start = end
        self._batch.n_tokens = start

    def _rows(self, count: int) -> NDArray[np.float32]:
        rows = np.empty((count, self.width), np.float32)
        for sequence in range(count):
            row = LLAMA.llama_get_embeddings_seq(self.handle, sequence)
            if not row:
                raise DecodeFailed("llama.cpp kept no vector")
            rows[sequence] = np.ctypeslib.as_array(row, (self.width,))
        return rows

    def close(self) -> None:
        if self.handle:
            LLAMA.llama_batch_free(self._batch)
            LLAMA.llama_free(self.handle)
            self.handle = None


def stated_pooling(model: Model) -> Pooling:
    """What the model file says of its pooling."""
    architecture = _metadata(model, "general.architecture") or ""
    stated = _metadata(model, f"{architecture}.pooling_type")
    if stated is None:
        return Pooling.UNSPECIFIED
    try:
        return Pooling(int(stated))
    except ValueError:
        raise ModelUnusable(f"the model file has an unknown pooling_type: {stated[:40]}") from None


def _pooling(model: Model, task: str) -> Pooling:
    """How to pool for a task. Models of text say nothing of it: the mean of their tokens serves best untrained."""
    stated = stated_pooling(model)
    if task == "rerank":
        if stated not in (Pooling.RANK, Pooling.UNSPECIFIED):
            raise ModelUnusable(f"the model makes vectors ({stated.name.lower()} pooling) and cannot rank")
        return Pooling.RANK
    if stated is Pooling.RANK:
        raise ModelUnusable("the model ranks documents and makes no vectors; use it with `task: rerank`")
    if stated is Pooling.NONE:
        raise ModelUnusable("the model file says that its vectors are not to be pooled, so a text has no vector")
    return Pooling.MEAN if stated is Pooling.UNSPECIFIED else stated


def _parameters(text_tokens: int, threads: int, tuning: Tuning) -> object:
    parameters = LLAMA.llama_context_default_params()
    parameters.embeddings = True
    # Whole texts only: what is read at once is as long as the longest text. Nothing is kept between calls, so where
    # there is a cache, all texts of a call share its cells.
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(text_tokens, tuning.batch_tokens)
    parameters.n_seq_max = MAX_TEXTS
    parameters.kv_unified = True
    parameters.n_threads = parameters.n_threads_batch = threads
    if tuning.flash_attention is not None:
        parameters.flash_attn_type = int(tuning.flash_attention)
    return parameters


def _open(model: Model, parameters: object, pooling: Pooling) -> object:
    if LLAMA.llama_model_has_encoder(model.handle) and LLAMA.llama_model_has_decoder(model.handle):
        raise ModelUnusable("models of an encoder and a decoder make no vectors here")
    parameters.pooling_type = int(pooling)  # type: ignore[attr-defined]  # a C structure
    handle = LLAMA.llama_init_from_model(model.handle, parameters)
    if not handle:
        raise ModelUnusable("llama.cpp cannot make a context for vectors: too little memory?")
    return handle


def _metadata(model: Model, key: str) -> str | None:
    buffer = ctypes.create_string_buffer(256)
    length = LLAMA.llama_model_meta_val_str(model.handle, key.encode(), buffer, len(buffer))
    return buffer.value.decode(errors="replace") if length >= 0 else None
