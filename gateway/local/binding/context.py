"""llama.cpp's context with many sequences, made safe: what would abort the process is refused here first.

A sequence is what one slot knows. It belongs to one thread, with everything else in here.
"""

from __future__ import annotations

import ctypes
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gateway.local.binding.llama import LLAMA, DecodeFailed, ModelUnusable, note_errors
from gateway.local.reading.devices import CONTEXT, EXACT_TYPES, overhear, place_cells
from policies.engine_memory import PROCESSOR_PASS_TOKENS, ROWS_PER_SLOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gateway.local.binding.llama import Model
    from gateway.local.frames import Tuning

# On a processor llama.cpp's flash attention takes twice as long for each token after 1,000 others, and six times as
# long for a chunk under 64 tokens.
_NO_FLASH_ATTENTION = 0
_NO_ROOM = 1
_INVALID_BATCH = -1


class NoRoom(DecodeFailed):
    """The cells do not hold the batch. Nothing was computed."""


class BrokenContext(DecodeFailed):
    """llama.cpp failed on the way: what the context knows now is in doubt."""


class Part(NamedTuple):
    """What one sequence adds in a call. Rows of logits are wanted after its last `rows` tokens."""

    slot: int
    tokens: Sequence[int]
    rows: int


class Context:
    """A model's working memory. Positions count from the start of each sequence.

    `call_s` is how long the last call computed, failed or not. `is_offloaded` says that a device computes.
    `allocated_bytes` is what cells and computing take by llama.cpp's word; 0 where it says nothing.
    """

    def __init__(self, model: Model, tuning: Tuning) -> None:
        self._model = model
        self._tuning = tuning
        self.slots = max(1, tuning.slots)
        self.unified = tuning.unified
        self.call_s = 0.0
        # A recurrent state cannot be cut, so a copy of a longer text is of no use.
        self.can_copy = not (LLAMA.llama_model_is_recurrent(model.handle) or LLAMA.llama_model_is_hybrid(model.handle))
        # A copy by way of the host lacks what is outside of the windows of layers, so it cannot be cut.
        self._window_tokens: int = LLAMA.llama_model_n_swa(model.handle)
        self.can_cut_copies = self.can_copy and not self._window_tokens
        # On a device a stream is copied there; through the host it would be the cells in use, but twice.
        self.is_offloaded = any(name != "CPU" for name in model.devices)
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]
        self.handle: Any = None
        # How long a call takes longer after a change of adapters: whoever loads them measures it.
        self.change_s = 0.0
        self._open()
        # Read back: llama.cpp rounds it, and aborts the process on a batch that is longer than its own idea.
        self.batch_tokens: int = LLAMA.llama_n_batch(self.handle)
        self.context_tokens: int = LLAMA.llama_n_ctx_seq(self.handle)
        self.cells: int = LLAMA.llama_n_ctx(self.handle)
        self.most_rows = min(self.batch_tokens, self.slots * ROWS_PER_SLOT)
        self._fill_batch()

    def _open(self) -> None:
        tuning = self._tuning
        parameters = LLAMA.llama_context_default_params()
        parameters.n_ctx = tuning.context_tokens * (1 if self.unified else self.slots)
        parameters.n_batch = parameters.n_ubatch = max(self.slots, min(tuning.batch_tokens, tuning.context_tokens))
        if not self.is_offloaded:
            parameters.n_ubatch = max(self.slots, min(parameters.n_batch, PROCESSOR_PASS_TOKENS))
        parameters.n_seq_max = self.slots
        parameters.n_outputs_max = min(parameters.n_batch, self.slots * ROWS_PER_SLOT)
        parameters.n_threads = parameters.n_threads_batch = tuning.threads
        parameters.kv_unified = self.unified
        place_cells(parameters, tuning)
        if tuning.flash_attention is None and tuning.kv_type in EXACT_TYPES and not self.is_offloaded:
            parameters.flash_attn_type = _NO_FLASH_ATTENTION
        with overhear(LLAMA, note_errors, CONTEXT) as buffers:
            self.handle = LLAMA.llama_init_from_model(self._model.handle, parameters)
        self.allocated_bytes = int(sum(buffers.values()) * (1 << 20))
        if not self.handle:
            about = f"{self.slots} slots of {tuning.context_tokens} tokens"
            raise ModelUnusable(f"llama.cpp cannot make a context of {about}: too little memory?")
        self._memory = LLAMA.llama_get_memory(self.handle)
        self.can_shift = self.can_copy and bool(LLAMA.llama_memory_can_shift(self._memory))
        self.can_shift = self.can_copy and bool(LLAMA.llama_memory_can_shift(self._memory))
        self._adapter: str | None = None
        self._ends = np.zeros(self.slots, np.int32)

    def _fill_batch(self) -> None:
        """A batch over arrays of our own, so that filling it is a few copies, whatever the number of rows."""
        room = self.batch_tokens
        self._tokens = np.zeros(room, np.int32)
        self._positions = np.zeros(room, np.int32)
        self._counts = np.ones(room, np.int32)
        self._sequences = np.zeros(room, np.int32)
        self._outputs = np.zeros(room, np.int8)
        # llama.cpp wants a pointer to the sequences of each token: one array of pointers into the array above.
        self._pointers = self._sequences.ctypes.data + np.arange(room, dtype=np.uintp) * self._sequences.itemsize
        fields = dict(LLAMA.llama_batch._fields_)

        def pointer(name: str, array: NDArray[Any]) -> Any:  # noqa: ANN401 - a ctypes pointer
            return ctypes.cast(array.ctypes.data, fields[name])

        self._batch = LLAMA.llama_batch(
            n_tokens=0,
            token=pointer("token", self._tokens),
            embd=None,
            pos=pointer("pos", self._positions),
            n_seq_id=pointer("n_seq_id", self._counts),
            seq_id=pointer("seq_id", self._pointers),
            logits=pointer("logits", self._outputs),
        )

    def end(self, slot: int) -> int:
        """How many tokens the slot knows."""
        return int(self._ends[slot])

    def adapt(self, adapter: str | None) -> None:
        """Compute with this adapter of the model from the next call on; None: without any."""
        if adapter == self._adapter:
            return
        handles = [] if adapter is None else [self._model.adapters[adapter]]
        kept = (LLAMA.llama_adapter_lora_p_ctypes * len(handles))(*handles)
        scales = (ctypes.c_float * len(handles))(*[1.0] * len(handles))
        LLAMA.llama_set_adapters_lora(self.handle, kept, len(handles), scales)
        self._adapter = adapter

    def read(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """Read the parts in one call, each slot at most once. The wanted rows in order, valid until the next call.

        Raises `NoRoom`, with nothing done; `DecodeFailed`, with nothing known for certain of the slots in the batch.
        """
        at = 0
        for part in parts:
            start, count = int(self._ends[part.slot]), len(part.tokens)
            end = at + count
            if count <= 0 or end > self.batch_tokens or start + count > self.context_tokens or part.rows > count:
                raise DecodeFailed(f"{count} tokens at {start} do not fit")
            self._tokens[at:end] = part.tokens
            self._positions[at:end] = np.arange(start, start + count, dtype=np.int32)
            self._sequences[at:end] = part.slot
            self._outputs[at:end] = 0
            self._outputs[end - part.rows : end] = 1
            at = end
        rows = self._decode(at, sum(part.rows for part in parts))
        for part in parts:
            self._ends[part.slot] += len(part.tokens)
        return rows

    def write(self, slots: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Add one token to each slot; the row after each. Raises as `read` does."""
        count = len(slots)
        sequences = np.array(slots, np.int32)
        starts = self._ends[sequences]
        if not 0 < count <= self.most_rows or int(starts.max()) >= self.context_tokens:
            raise DecodeFailed(f"{count} rows do not fit")
        self._tokens[:count] = tokens
        self._positions[:count] = starts
        self._sequences[:count] = sequences
        self._outputs[:count] = 1
        rows = self._decode(count, count)
        self._ends[sequences] += 1
        return rows

    def _decode(self, count: int, rows: int) -> NDArray[np.float32]:
        if rows > self.most_rows:
            raise DecodeFailed(f"{rows} rows of logits do not fit")
        self._batch.n_tokens = count
        started_s = perf_counter()
        try:
            return self._computed(rows)
        finally:
            self.call_s = perf_counter() - started_s

    def _computed(self, rows: int) -> NDArray[np.float32]:
        verdict = LLAMA.llama_decode(self.handle, self._batch)
        if verdict == _NO_ROOM:
            raise NoRoom("the engine's cells are full")
        if verdict != 0:
            kind = DecodeFailed if verdict == _INVALID_BATCH else BrokenContext
            raise kind(f"llama_decode says {verdict}")
        if not rows:
            # The call may still be computing on a device; its time must not be taken for the next one's.
            LLAMA.llama_synchronize(self.handle)
            return np.empty((0, self._model.vocab_size), np.float32)
        logits = LLAMA.llama_get_logits(self.handle)
        if not logits:
            raise BrokenContext("llama.cpp kept no logits")
        return np.ctypeslib.as_array(logits, (rows, self._model.vocab_size))

    def rewind(self, slot: int, end: int) -> int:
        """Forget what a slot knows from position `end` on; where the model cannot do that in part, all. The new end."""
        if end < self._ends[slot]:
            if end < self._least_end(slot) or not LLAMA.llama_memory_seq_rm(self._memory, slot, end, -1):
                self.clear(slot)
                end = 0
            self._ends[slot] = end
        return int(self._ends[slot])

    def _least_end(self, slot: int) -> int:
        """Where a text must not be cut before: a copy lacks what layers with a window did not look at any more."""
        first = LLAMA.llama_memory_seq_pos_min(self._memory, slot) if self._window_tokens else 0
        return first + self._window_tokens - 1 if first > 0 else 1

    def drop(self, slot: int, start: int, end: int) -> bool:
        """Take positions from `start` to `end` out of a slot's text; those after move up. False where that failed."""
        if not LLAMA.llama_memory_seq_rm(self._memory, slot, start, end):
            return False
        LLAMA.llama_memory_seq_add(self._memory, slot, end, -1, start - end)
        self._ends[slot] -= end - start
        return True

    def clear(self, slot: int) -> None:
        LLAMA.llama_memory_seq_rm(self._memory, slot, -1, -1)
        self._ends[slot] = 0

    def copy(self, source: int, target: int, end: int) -> int:
        """Let `target` know the first `end` tokens of `source`, and nothing else. How many it knows now."""
        self.clear(target)
        if self.unified:
            LLAMA.llama_memory_seq_cp(self._memory, source, target, 0, end)
        elif self.is_offloaded or self._window_tokens:
            LLAMA.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        elif not self._put_state(self._state(source, 0), target):
            return 0
        self._ends[target] = end if self.unified else self._ends[source]
        return self.rewind(target, end)

    def save(self, slot: int) -> NDArray[np.uint8]:
        """A copy of the slot's cells in use."""
        state = np.empty(LLAMA.llama_state_seq_get_size(self.handle, slot), np.uint8)
        count = LLAMA.llama_state_seq_get_data(self.handle, _address(state), len(state), slot)
        return state[:count]

    def restore(self, slot: int, state: NDArray[np.uint8], cells: int, end: int) -> int:
        """Let the slot know the first `end` of so many saved cells. How many it knows now: 0 where that failed."""
        self.clear(slot)
        if cells > self.context_tokens or not self._put_state(state, slot):
            self.clear(slot)
            return 0
        # A copy from a disk may be of anything: what it put there must be what it was taken for.
        if LLAMA.llama_memory_seq_pos_max(self._memory, slot) + 1 != cells:
            self.clear(slot)
            return 0
        self._ends[slot] = cells
        return self.rewind(slot, end)

    def swap(self, left: int, right: int) -> bool:
        """Let two slots know what the other knew. False where that failed: then neither knows anything."""
        ends = self._ends[[right, left]]
        states = self._state(left, 0), self._state(right, 1)
        self.clear(left)
        self.clear(right)
        if not (self._put_state(states[1], left) and self._put_state(states[0], right)):
            self.clear(left)
            self.clear(right)
            return False
        self._ends[[left, right]] = ends
        return True

    def _state(self, slot: int, buffer: int) -> NDArray[np.uint8]:
        """The slot's cells in use. llama.cpp's own copy of a sequence takes the whole of its stream, full or not."""
        size = LLAMA.llama_state_seq_get_size(self.handle, slot)
        # Memory that was touched before is copied to ten times as fast as fresh pages.
        if len(self._buffers[buffer]) < size:
            self._buffers[buffer] = np.empty(size, np.uint8)
        state = self._buffers[buffer][:size]
        count = LLAMA.llama_state_seq_get_data(self.handle, _address(state), size, slot)
        return state[:count]

    def _put_state(self, state: NDArray[np.uint8], slot: int) -> bool:
        size = len(state)
        return bool(LLAMA.llama_state_seq_set_data(self.handle, _address(state), size, slot) == size)

    def renew(self) -> None:
        """Forget everything, in a new context of the same shape."""
        LLAMA.llama_free(self.handle)
        self.handle = None
        self._open()

    def close(self) -> None:
        if self.handle:
            LLAMA.llama_free(self.handle)
            self.handle = None


def _address(array: NDArray[np.uint8]) -> Any:  # noqa: ANN401 - a ctypes pointer
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(ctypes.c_uint8))
