"""Puts an engine of vectors together for a loaded model: what the worker runs where a model's task is not text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.local.binding.llama import ModelUnusable
from gateway.local.binding.vector_context import MAX_TEXTS, Pooling, VectorContext, stated_pooling
from gateway.local.measuring.vectors import Bounds, VectorEngine
from gateway.local.preparing.vector_prepare import VectorLimits, VectorPreparer
from gateway.local.reading.gguf_reading import read_gguf

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.llama_cpp_job import Event
    from gateway.local.binding.llama import Model
    from gateway.local.frames import Load


class VectorParts(NamedTuple):
    """An engine, what prepares its work, and the context that both were made for."""

    engine: VectorEngine
    preparer: VectorPreparer
    context: VectorContext


def vector_engine(model: Model, load: Load, emit: Callable[[list[Event]], None]) -> VectorParts:
    """For `load.task` embed or rerank; `load.tuning.threads` must be settled. Raises `ModelUnusable`.

    A text has been read before this returns, so that a build that faults on this processor does so at once.
    """
    if load.task == "rerank" and stated_pooling(model) is Pooling.UNSPECIFIED:
        _require_classifier(Path(load.model_path))
    context = VectorContext(model, load.task, load.tuning, max(1, load.tuning.threads))
    context.read([[0, 0]])
    # llama.cpp's sums depend a little on what else is in a batch.
    bounds = Bounds(load.max_waiting, 1 if load.tuning.deterministic else MAX_TEXTS)
    engine = VectorEngine(context, emit, bounds)
    return VectorParts(engine, VectorPreparer(model, VectorLimits(context.text_tokens, context.width)), context)


def _require_classifier(path: Path) -> None:
    """Without one llama.cpp would hand out the first number of a vector for a score."""
    if not any(tensor.name.startswith("cls") for tensor in read_gguf(path).tensors):
        raise ModelUnusable("the model has no classifier, so it cannot rank documents")
