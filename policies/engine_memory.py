"""How much memory a local model takes, what of it fits where, and who has to go when another is to be loaded.

Weights and cells are exact, as llama.cpp lays them out; what a step computes in is the largest of its three hungriest
moments: a feed-forward layer, attention without flash attention, and the rows of logits. Held against llama.cpp's own
numbers (0.3.36) on a model of 135M and several made-up ones, the sum is right within a few percent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USUAL_SLOTS: Final = 4
USUAL_CONTEXT_TOKENS: Final = 8192
ROWS_PER_SLOT: Final = 9
"""Rows of logits that one slot may want of a step: its next token's, and those that check guesses."""

BLOCK_NUMBERS: Final = 32
# What a processor computes in one pass over the weights: without flash attention a pass should stay in the caches.
PROCESSOR_PASS_TOKENS: Final = 192
BLOCK_BYTES: Final[Mapping[str, int]] = {
    "f32": 128, "f16": 64, "bf16": 64, "q8_0": 34, "q5_1": 24, "q5_0": 22, "q4_1": 20, "q4_0": 18,
}  # fmt: skip
"""What so many numbers of a cell take, scales included."""
_CELL_GRID: Final = 256
"""llama.cpp makes contexts of a multiple of so many tokens."""
_WORD_BYTES: Final = 4
_MASK_BYTES: Final = 2
PROCESS_BYTES: Final = 64 << 20
"""A worker that has loaded nothing: the interpreter, NumPy, llama.cpp."""
TOKEN_BYTES: Final = 384
"""One entry of a vocabulary as llama.cpp keeps it."""


class ModelShape(NamedTuple):
    """What memory goes by. `key_numbers` and `value_numbers` are those of one token's cell, layer by layer.

    `is_bounded`: some layers keep less than a cell for each token (they look back a bounded way, keep one state, or
    compress), so that what is reckoned is the most that it can be.
    """

    layer_bytes: tuple[int, ...]
    other_bytes: int
    key_numbers: tuple[int, ...]
    value_numbers: tuple[int, ...]
    heads: int = 1
    embedding_size: int = 0
    feed_forward_size: int = 0
    vocabulary_size: int = 0
    trained_context_tokens: int = 0
    is_bounded: bool = False


class ContextShape(NamedTuple):
    """How a model is run. 0 stands for the usual. `writes`: it makes text, so it needs rows of logits."""

    slots: int = 0
    context_tokens: int = 0
    batch_tokens: int = 512
    kv_type: str = "f16"
    unified: bool = False
    flash_attention: bool = True
    writes: bool = True


class Memory(NamedTuple):
    """What a worker takes, by what it is for."""

    weights_bytes: int
    cells_bytes: int
    compute_bytes: int
    process_bytes: int
    is_bounded: bool = False

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cells_bytes + self.compute_bytes + self.process_bytes


def settled(model: ModelShape, context: ContextShape) -> ContextShape:
    """With the usual numbers where none are given."""
    usual = min(model.trained_context_tokens or USUAL_CONTEXT_TOKENS, USUAL_CONTEXT_TOKENS)
    return context._replace(slots=context.slots or USUAL_SLOTS, context_tokens=context.context_tokens or usual)


def token_bytes(model: ModelShape, kv_type: str) -> int:
    """What the cells of one token take in all layers together."""
    numbers = sum(model.key_numbers) + sum(model.value_numbers)
    return -(-numbers * BLOCK_BYTES[kv_type] // BLOCK_NUMBERS)


def memory_of(model: ModelShape, context: ContextShape) -> Memory:
    """What a worker with this model and context takes."""
    context = settled(model, context)
    return Memory(
        weights_bytes=sum(model.layer_bytes) + model.other_bytes,
        cells_bytes=token_bytes(model, context.kv_type) * cells(context),
        compute_bytes=compute_bytes(model, context),
        process_bytes=PROCESS_BYTES + TOKEN_BYTES * model.vocabulary_size,
        is_bounded=model.is_bounded,
    )


def cells(context: ContextShape) -> int:
    """How many tokens all slots together can hold. For a context whose numbers are settled."""
    each = -(-context.context_tokens // _CELL_GRID) * _CELL_GRID
    return each * (1 if context.unified else context.slots)


def compute_bytes(model: ModelShape, context: ContextShape) -> int:
    """What one step computes in. For a context whose numbers are settled."""
    rows = min(context.batch_tokens, context.context_tokens)
    wide = rows * _WORD_BYTES
    mask = rows * context.context_tokens * _MASK_BYTES
    logits = min(rows, context.slots * ROWS_PER_SLOT) * model.vocabulary_size * _WORD_BYTES if context.writes else 0
    feeding = mask + wide * (4 * model.embedding_size + 3 * model.feed_forward_size)
    ending = mask + logits + wide * model.embedding_size
    attending = 0
    if not context.flash_attention:
        attending = 2 * mask + wide * (model.heads * context.context_tokens + 4 * model.embedding_size)
    return max(feeding, ending, attending) + logits // ROWS_PER_SLOT


def fitting_context_tokens(model: ModelShape, context: ContextShape, room_bytes: int) -> int:
    """The most tokens per slot with which the model fits into `room_bytes`; 0 where it never does."""
    context = settled(model, context)
    low, high = 0, max(_CELL_GRID, model.trained_context_tokens or context.context_tokens) // _CELL_GRID
    while low < high:
        middle = (low + high + 1) // 2
        if memory_of(model, context._replace(context_tokens=middle * _CELL_GRID)).total_bytes <= room_bytes:
            low = middle
        else:
            high = middle - 1
    return low * _CELL_GRID


def fitting_layers(model: ModelShape, context: ContextShape, device_bytes: int) -> int:
    """How many layers, counted from the last, fit on a device with their cells; all of them and one more where what
    comes after the last does too. What a step computes in is there as soon as one layer is.
    """
    context = settled(model, context)
    held = cells(context)
    left = device_bytes - compute_bytes(model, context)
    count = 0
    for layer in reversed(range(len(model.layer_bytes))):
        numbers = model.key_numbers[layer] + model.value_numbers[layer]
        left -= model.layer_bytes[layer] + numbers * held * BLOCK_BYTES[context.kv_type] // BLOCK_NUMBERS
        if left < 0:
            return count
        count += 1
    return count + (left >= model.other_bytes)


class Loaded(NamedTuple):
    """A model in memory. `used_s` is when it was last of use."""

    name: str
    bytes: int
    used_s: float
    is_busy: bool = False
    is_pinned: bool = False


class Verdict(StrEnum):
    NOW = "now"  # once those named are unloaded
    LATER = "later"  # busy ones have to finish first
    NEVER = "never"  # not even alone beside what is pinned


class Room(NamedTuple):
    """Whether there is room for a model, and who has to leave for it."""

    verdict: Verdict
    unload: tuple[str, ...] = ()


def room_for(needed_bytes: int, loaded: Iterable[Loaded], budget_bytes: int | None) -> Room:
    """What has to happen before a model of `needed_bytes` may be loaded. Those that were idle longest leave first, none
    that works, none that is pinned, and none in vain.
    """
    if budget_bytes is None:
        return Room(Verdict.NOW)
    present = list(loaded)
    free = budget_bytes - sum(one.bytes for one in present)
    leaving: list[Loaded] = []
    for one in sorted(present, key=lambda one: (one.used_s, one.name)):
        if free >= needed_bytes:
            break
        if not one.is_busy and not one.is_pinned:
            free += one.bytes
            leaving.append(one)
    if free >= needed_bytes:
        for one in reversed(leaving[:-1]):  # a large one that left last may have made room enough by itself
            if free - one.bytes >= needed_bytes:
                free -= one.bytes
                leaving.remove(one)
        return Room(Verdict.NOW, tuple(one.name for one in leaving))
    pinned = sum(one.bytes for one in present if one.is_pinned)
    return Room(Verdict.LATER if needed_bytes + pinned <= budget_bytes else Verdict.NEVER)
