"""The few calls of llama.cpp's C interface that the engine needs, made safe: a mistake here would abort the process.

Only the worker imports this module; importing it loads the shared library.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# ctypes bindings whose annotations describe C; treated as untyped, and wrapped right here.
LLAMA: Any = importlib.import_module("llama_cpp.llama_cpp")

_ERROR_LEVEL = 4
_SEQUENCE = 0


class ModelUnusable(Exception):  # noqa: N818 - it states a fact about the model
    """The file is no model that this build can load, or there is not enough memory for it."""


class DecodeFailed(Exception):  # noqa: N818 - it names llama.cpp's own verdict
    """llama.cpp declined a batch."""


@LLAMA.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
def _log(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR_LEVEL:
        sys.stderr.write(text.decode(errors="replace"))
        sys.stderr.flush()


def start_library() -> None:
    """Initialise llama.cpp once per process; of its log only errors are kept."""
    LLAMA.llama_log_set(_log, ctypes.c_void_p())
    LLAMA.llama_backend_init()


class Model:
    """A loaded GGUF: its vocabulary and what it says of itself. Methods may be called from any thread."""

    def __init__(self, path: Path, on_progress: Callable[[float], None], *, plain_weights: bool = False) -> None:
        parameters = LLAMA.llama_model_default_params()
        # Weights repacked for the processor's matrix units are faster, but those units fault on some virtual machines.
        parameters.use_extra_bufts = not plain_weights

        def report(progress: float, _data: object) -> bool:
            on_progress(progress)
            return True

        callback = LLAMA.llama_progress_callback(report)
        parameters.progress_callback = callback
        self.handle = LLAMA.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.handle:
            raise ModelUnusable(f"llama.cpp cannot load {path}")
        self.vocab = LLAMA.llama_model_get_vocab(self.handle)
        self.vocab_size: int = LLAMA.llama_vocab_n_tokens(self.vocab)
        self.trained_context_tokens: int = LLAMA.llama_model_n_ctx_train(self.handle)
        self._pieces: list[bytes | None] = [None] * self.vocab_size
        self._longest_piece_bytes = 0

    def chat_template(self) -> str | None:
        template = LLAMA.llama_model_chat_template(self.handle, None)
        return template.decode(errors="replace") if template else None

    def special_text(self, token: int) -> str:
        return self._read_piece(token, special=True).decode(errors="replace") if token >= 0 else ""

    @property
    def bos_text(self) -> str:
        return self.special_text(LLAMA.llama_vocab_bos(self.vocab))

    @property
    def eos_text(self) -> str:
        return self.special_text(LLAMA.llama_vocab_eos(self.vocab))

    def ends_text(self, token: int) -> bool:
        return bool(LLAMA.llama_vocab_is_eog(self.vocab, token))

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for control tokens."""
        piece = self._pieces[token]
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token, special=False)
        return piece

    def longest_piece_bytes(self) -> int:
        """No token stands for more bytes than this, so a text has at least its length divided by it in tokens."""
        if not self._longest_piece_bytes:
            self._longest_piece_bytes = max(
                len(self._read_piece(token, special=True)) for token in range(self.vocab_size)
            )
        return self._longest_piece_bytes

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a rendered prompt: control tokens are recognised, a start token is added unless it is there."""
        data = text.encode(errors="replace")
        bos = self.bos_text
        add_special = not (bos and text.startswith(bos))
        room = len(data) + 8
        tokens = (LLAMA.llama_token * room)()
        count = LLAMA.llama_tokenize(self.vocab, data, len(data), tokens, room, add_special, True)
        if count < 0:
            raise DecodeFailed(f"tokenizing {len(data)} bytes needs {-count} tokens")
        return list(tokens[:count])

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = LLAMA.llama_token_to_piece(self.vocab, token, buffer, room, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            room = -length

    def close(self) -> None:
        if self.handle:
            LLAMA.llama_model_free(self.handle)
            self.handle = None


class Context:
    """A model's working memory. It belongs to one thread; positions count from the start of the one sequence."""

    def __init__(self, model: Model, context_tokens: int, threads: int) -> None:
        parameters = LLAMA.llama_context_default_params()
        parameters.n_ctx = context_tokens
        parameters.n_batch = parameters.n_ubatch = min(512, context_tokens)
        parameters.n_seq_max = 1
        parameters.n_threads = parameters.n_threads_batch = threads
        self._model = model
        self.handle = LLAMA.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise ModelUnusable(f"llama.cpp cannot make a context of {context_tokens} tokens: too little memory?")
        self._memory = LLAMA.llama_get_memory(self.handle)
        # Both are read back: llama.cpp rounds them, and aborts the process on a batch that is longer than its own idea.
        self.context_tokens: int = LLAMA.llama_n_ctx(self.handle)
        self.batch_tokens: int = LLAMA.llama_n_batch(self.handle)
        self._batch = LLAMA.llama_batch_init(self.batch_tokens, 0, 1)
        for index in range(self.batch_tokens):
            self._batch.n_seq_id[index] = 1
            self._batch.seq_id[index][0] = _SEQUENCE
        shape = (self.batch_tokens,)
        self._tokens = np.ctypeslib.as_array(self._batch.token, shape)
        self._positions = np.ctypeslib.as_array(self._batch.pos, shape)
        self._outputs = np.ctypeslib.as_array(self._batch.logits, shape)
        self._end = 0

    def append(self, tokens: Sequence[int]) -> None:
        """Read tokens whose continuation nobody wants to know yet."""
        self._run(tokens, wants_row=False)

    def decode(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Read tokens; the row of logits after the last one, valid until the next call."""
        self._run(tokens, wants_row=True)
        row = LLAMA.llama_get_logits_ith(self.handle, len(tokens) - 1)
        if not row:
            raise DecodeFailed("llama.cpp kept no logits")
        return np.ctypeslib.as_array(row, (self._model.vocab_size,))

    def _run(self, tokens: Sequence[int], *, wants_row: bool) -> None:
        count = len(tokens)
        if not 0 < count <= self.batch_tokens or self._end + count > self.context_tokens:
            raise DecodeFailed(f"{count} tokens at {self._end} do not fit")
        self._batch.n_tokens = count
        self._tokens[:count] = tokens
        self._positions[:count] = range(self._end, self._end + count)
        self._outputs[:count] = 0
        self._outputs[count - 1] = wants_row
        verdict = LLAMA.llama_decode(self.handle, self._batch)
        if verdict != 0:
            raise DecodeFailed(f"llama_decode says {verdict}")
        self._end += count

    def rewind(self, end: int) -> int:
        """Forget everything from position `end` on; where the model cannot forget in part, everything. The new end."""
        if end < self._end:
            if end == 0 or not LLAMA.llama_memory_seq_rm(self._memory, _SEQUENCE, end, -1):
                LLAMA.llama_memory_seq_rm(self._memory, _SEQUENCE, -1, -1)
                end = 0
            self._end = end
        return self._end

    def close(self) -> None:
        if self.handle:
            LLAMA.llama_batch_free(self._batch)
            LLAMA.llama_free(self.handle)
            self.handle = None
