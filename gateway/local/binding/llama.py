"""The few calls of llama.cpp's C interface that the engine needs, made safe: a mistake here would abort the process.

Only the worker imports this module; importing it loads the shared library.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import TYPE_CHECKING, Any

from gateway.local.binding.long_runs import cut_long_runs
from gateway.local.frames import Tuning
from gateway.local.reading.devices import (
    WEIGHTS,
    find_devices,
    load_ggml,
    overhear,
    place_weights,
    signs_of_gpu,
    wish_of,
)
from policies.engine_devices import check_homes, homes, placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# ctypes bindings whose annotations describe C; treated as untyped, and wrapped right here.
LLAMA: Any = importlib.import_module("llama_cpp.llama_cpp")

_ERROR_LEVEL = 4


class ModelUnusable(Exception):  # noqa: N818 - it states a fact about the model
    """The file is no model that this build can load, or there is not enough memory for it."""


class DecodeFailed(Exception):  # noqa: N818 - it names llama.cpp's own verdict
    """llama.cpp declined a batch."""


@LLAMA.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
def note_errors(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR_LEVEL:
        sys.stderr.write(text.decode(errors="replace"))
        sys.stderr.flush()


def start_library() -> None:
    """Initialise llama.cpp once per process; of its log only errors are kept."""
    LLAMA.llama_log_set(note_errors, ctypes.c_void_p())
    LLAMA.llama_backend_init()


class Model:
    """A loaded GGUF: its vocabulary and what it says of itself. Methods may be called from any thread.

    `adapters` are handles of LoRA adapters by name.
    """

    def __init__(
        self,
        path: Path,
        on_progress: Callable[[float], None],
        *,
        plain_weights: bool = False,
        tuning: Tuning = Tuning(),  # noqa: B008 - frozen
    ) -> None:
        """Raises `ModelUnusable`, and `DeviceRefused` where the tuning's devices are not to be had."""
        build = find_devices(load_ggml())
        where = placement(wish_of(tuning), build, has_signs_of_gpu=bool(signs_of_gpu()))
        parameters = LLAMA.llama_model_default_params()
        kept = place_weights(parameters, where, LLAMA.LLAMA_MAX_DEVICES)
        # Weights repacked for the processor's matrix units are faster, but those units fault on some virtual machines.
        parameters.use_extra_bufts = not plain_weights

        def report(progress: float, _data: object) -> bool:
            on_progress(progress)
            return True

        callback = LLAMA.llama_progress_callback(report)
        parameters.progress_callback = callback
        with overhear(LLAMA, note_errors, WEIGHTS) as buffers:
            self.handle = LLAMA.llama_model_load_from_file(str(path).encode(), parameters)
        del kept
        if not self.handle:
            raise ModelUnusable(f"llama.cpp cannot load {path}")
        self.adapters: dict[str, Any] = {}
        self.devices = homes(buffers, build)
        self.warning = where.warning
        check_homes(where, self.devices)
        self.vocab = LLAMA.llama_model_get_vocab(self.handle)
        self.vocab_size: int = LLAMA.llama_vocab_n_tokens(self.vocab)
        self.trained_context_tokens: int = LLAMA.llama_model_n_ctx_train(self.handle)
        self._pieces: list[bytes | None] = [None] * self.vocab_size
        self._enders: dict[int, bool] = {}
        self._longest_piece_bytes = 0
        self._splits_by_pattern = LLAMA.llama_vocab_type(self.vocab) == LLAMA.LLAMA_VOCAB_TYPE_BPE
        self._marks = self.special_texts(LLAMA.LLAMA_TOKEN_ATTR_CONTROL | LLAMA.LLAMA_TOKEN_ATTR_USER_DEFINED)

    def chat_template(self) -> str | None:
        template = LLAMA.llama_model_chat_template(self.handle, None)
        return template.decode(errors="replace") if template else None

    def special_text(self, token: int) -> str:
        return self._read_piece(token, special=True).decode(errors="replace") if token >= 0 else ""

    def special_texts(self, attributes: int) -> tuple[str, ...]:
        """The texts of all tokens that have one of the attributes."""
        tokens = (
            token for token in range(self.vocab_size) if LLAMA.llama_vocab_get_attr(self.vocab, token) & attributes
        )
        return tuple(text for token in tokens if (text := self.special_text(token)))

    @property
    def bos_text(self) -> str:
        return self.special_text(LLAMA.llama_vocab_bos(self.vocab))

    @property
    def eos_text(self) -> str:
        return self.special_text(LLAMA.llama_vocab_eos(self.vocab))

    def ends_text(self, token: int) -> bool:
        ends = self._enders.get(token)
        if ends is None:
            ends = self._enders[token] = bool(LLAMA.llama_vocab_is_eog(self.vocab, token))
        return ends

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for control tokens."""
        piece = self._pieces[token]
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token, special=False)
        return piece

    def show(self, texts: Iterable[str]) -> None:
        """Let the control tokens that spell these texts stand for bytes from now on."""
        for text in texts:
            for token in self.tokenize(text, begins=False):
                self._pieces[token] = self._read_piece(token, special=True)

    def longest_piece_bytes(self) -> int:
        """No token stands for more bytes than this, so a text has at least its length divided by it in tokens."""
        if not self._longest_piece_bytes:
            self._longest_piece_bytes = max(
                len(self._read_piece(token, special=True)) for token in range(self.vocab_size)
            )
        return self._longest_piece_bytes

    def tokenize(self, text: str, *, begins: bool = True) -> list[int]:
        """Tokens of a rendered prompt: control tokens are recognised, a start token is added unless it is there.

        `begins` False: the text goes on from another, and gets no start token.
        """
        first, *others = self.parts(text)
        bos = self.bos_text
        tokens = self._tokenized(first, add_special=begins and not (bos and text.startswith(bos)))
        for part in others:
            tokens += self._tokenized(part, add_special=False)
        return tokens

    def parts(self, text: str) -> list[str]:
        """The text in parts that its tokenizer can bear, one by one: nearly always the text."""
        return cut_long_runs(text, self._marks) if self._splits_by_pattern else [text]

    def _tokenized(self, text: str, *, add_special: bool) -> list[int]:
        data = text.encode(errors="replace")
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
