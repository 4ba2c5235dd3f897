"""How a model is best run with the memory at hand: where its layers go, how many callers at once, how much context.

As many callers as fit with a context that most of them need; what is left then goes into longer contexts. Cells are
halved (q8_0) before layers are left behind, since a layer on the CPU slows every token down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.engine_memory import ContextShape, fitting_context_tokens, fitting_layers, memory_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.engine_memory import ModelShape

USUAL_CONTEXT_TOKENS: Final = 8192
LONGEST_CONTEXT_TOKENS: Final = 32_768
SHORT_CONTEXT_TOKENS: Final = 4096
GPU_SLOTS: Final = (32, 16, 8, 4)
CPU_SLOTS: Final = (4, 2, 1)
MANY_CORES: Final = 8
GPU_BATCH_TOKENS: Final = 1024
CPU_BATCH_TOKENS: Final = 512
# The driver's own context, and what fragments.
GPU_RESERVE_BYTES: Final = 512 << 20
GPU_SHARE: Final = 0.95
RAM_SHARE: Final = 0.85
# With all layers on GPUs the processor only hands out work.
GPU_THREADS: Final = 4


class Means(NamedTuple):
    """What there is to compute with: bytes free in RAM and on each GPU, and cores."""

    ram_bytes: int
    gpu_bytes: tuple[int, ...] = ()
    cores: float = 1.0


class Advice(NamedTuple):
    """Settings of a provider. `layers` counts those on GPUs, the output among them; `fits` False: not at all."""

    fits: bool
    layers: int
    slots: int
    context_tokens: int
    batch_tokens: int
    threads: int
    kv_type: str
    needed_bytes: int
    notes: tuple[str, ...] = ()


def advise(model: ModelShape, means: Means, *, writes: bool = True) -> Advice:
    """The best way to run this model here."""
    if means.gpu_bytes:
        gpu_bytes = usable_gpu_bytes(means.gpu_bytes)
        for kind in ("f16", "q8_0"):
            shape = _roomiest(
                model, gpu_bytes, GPU_SLOTS, ContextShape(batch_tokens=GPU_BATCH_TOKENS, kv_type=kind, writes=writes)
            )
            if shape is not None:
                return _on_gpus(model, _longest(model, gpu_bytes, shape), means)
        if (partly := _partly(model, gpu_bytes, means, writes=writes)) is not None:
            return partly
    return _on_cpu(model, means, writes=writes)


def usable_gpu_bytes(free: Sequence[int]) -> int:
    return sum(max(0, int(one * GPU_SHARE) - GPU_RESERVE_BYTES) for one in free)


def threads_for(cores: float) -> int:
    """All cores but one: llama.cpp's threads spin at barriers, and with every core taken it runs at a tenth."""
    return max(1, int(cores) - 1)


def _needed_bytes(model: ModelShape, shape: ContextShape) -> int:
    memory = memory_of(model, shape)
    return memory.total_bytes - memory.process_bytes


def _roomiest(model: ModelShape, bytes_: int, slots: Sequence[int], shape: ContextShape) -> ContextShape | None:
    """The most slots that fit with the usual context; None where not even the fewest do."""
    usual = min(model.trained_context_tokens or USUAL_CONTEXT_TOKENS, USUAL_CONTEXT_TOKENS)
    tried = (shape._replace(slots=count, context_tokens=usual) for count in slots)
    return next((found for found in tried if _needed_bytes(model, found) <= bytes_), None)


def _longest(model: ModelShape, bytes_: int, shape: ContextShape) -> ContextShape:
    """With its context doubled as often as that fits and the model was trained for it."""
    most = min(model.trained_context_tokens or USUAL_CONTEXT_TOKENS, LONGEST_CONTEXT_TOKENS)
    while shape.context_tokens < most:
        longer = shape._replace(context_tokens=min(most, 2 * shape.context_tokens))
        if _needed_bytes(model, longer) > bytes_:
            break
        shape = longer
    return shape


def _on_gpus(model: ModelShape, shape: ContextShape, means: Means) -> Advice:
    notes = ("cells of type q8_0, so that all layers fit",) if shape.kv_type != "f16" else ()
    layers = len(model.layer_bytes) + 1
    return _advice(model, shape, layers, min(GPU_THREADS, threads_for(means.cores)))._replace(notes=notes)


def _partly(model: ModelShape, gpu_bytes: int, means: Means, *, writes: bool) -> Advice | None:
    """As many layers as fit on the GPUs, the rest on the CPU; None where that is none, or the rest finds no room."""
    context = min(model.trained_context_tokens or SHORT_CONTEXT_TOKENS, SHORT_CONTEXT_TOKENS)
    shape = ContextShape(GPU_SLOTS[-1], context, CPU_BATCH_TOKENS, writes=writes)
    layers = fitting_layers(model, shape, gpu_bytes)
    if not layers or _needed_bytes(model, shape) - gpu_bytes > means.ram_bytes * RAM_SHARE:
        return None
    everywhere = len(model.layer_bytes) + 1
    note = f"{layers} of {everywhere} layers fit on the GPU; each one on the CPU slows every token down"
    return _advice(model, shape, layers, threads_for(means.cores))._replace(notes=(note,))


def _on_cpu(model: ModelShape, means: Means, *, writes: bool) -> Advice:
    ram_bytes = int(means.ram_bytes * RAM_SHARE)
    slots = (8, *CPU_SLOTS) if means.cores >= MANY_CORES else CPU_SLOTS
    usual = ContextShape(batch_tokens=CPU_BATCH_TOKENS, writes=writes)
    shape = _roomiest(model, ram_bytes, slots, usual)
    if shape is None:
        one = usual._replace(slots=1, context_tokens=0)
        tokens = fitting_context_tokens(model, one, ram_bytes)
        if not tokens:
            note = "it does not fit into memory: take a smaller model, or one of fewer bits"
            least = _advice(model, one._replace(context_tokens=SHORT_CONTEXT_TOKENS), 0, threads_for(means.cores))
            return least._replace(fits=False, notes=(note,))
        shape = one._replace(context_tokens=tokens)
    return _advice(model, shape, 0, threads_for(means.cores))


def _advice(model: ModelShape, shape: ContextShape, layers: int, threads: int) -> Advice:
    return Advice(
        fits=True,
        layers=layers,
        slots=shape.slots,
        context_tokens=shape.context_tokens,
        batch_tokens=shape.batch_tokens,
        threads=threads,
        kv_type=shape.kv_type,
        needed_bytes=_needed_bytes(model, shape),
    )
