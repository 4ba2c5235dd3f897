"""LoRA adapters inside the worker: loaded with their model, tried once, and timed.

Only the worker imports this module; importing it loads the shared library.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.local.binding.context import Context, Part
from gateway.local.binding.llama import LLAMA, ModelUnusable
from gateway.local.reading.gguf import read_model
from gateway.local.reading.gguf_reading import BrokenGguf
from gateway.local.reading.lora_file import adapter_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.local.binding.llama import Model
    from gateway.local.frames import Load

_TRIAL_TOKENS: Final = 4
_TRIALS: Final = 3


def load_adapters(model: Model, load: Load) -> dict[str, Any]:
    """Handles of the order's adapters by their names, valid as long as the model. Raises `ModelUnusable`.

    They are loaded before a context is made: it is as large as its largest adapter needs it.
    """
    if not load.adapters:
        return {}
    try:
        file = read_model(Path(load.model_path))
    except (BrokenGguf, OSError) as error:
        raise ModelUnusable(f"{load.model_path} {error}") from error
    handles = {}
    for name, path in load.adapters:
        if (problem := adapter_problem(Path(path), file)) is not None:
            raise ModelUnusable(f"the adapter {name}, {path}: {problem}")
        handle = LLAMA.llama_adapter_lora_init(model.handle, path.encode())
        if not handle:
            raise ModelUnusable(f"the adapter {name}, {path}: llama.cpp cannot load it")
        handles[name] = handle
    return handles


def try_adapters(context: Context, names: Sequence[str]) -> float:
    """Compute once with each adapter, before anyone waits for an answer. How long it takes to change to another.

    Raises `ModelUnusable` where what comes out are no numbers.
    """
    for name in names:
        context.adapt(name)
        context.clear(0)
        row = context.read([Part(0, [0] * min(_TRIAL_TOKENS, context.context_tokens - 1), 1)])
        if not np.isfinite(row).all():
            raise ModelUnusable(f"the adapter {name} makes the model compute what are no numbers")
    changed_s = _switch_s(context, names[0]) if names else 0.0
    context.adapt(None)
    context.clear(0)
    return changed_s


def _switch_s(context: Context, name: str) -> float:
    """What a step takes longer after a change: llama.cpp then plans anew what it computes."""
    stays, changes = [], []
    for turn in range(2 * _TRIALS):
        context.adapt(name if turn % 2 else None)
        changes.append(_write_s(context))
        stays.append(_write_s(context))
    return max(0.0, median(changes) - median(stays))


def _write_s(context: Context) -> float:
    context.clear(0)
    started_s = perf_counter()
    context.write([0], [0])
    return perf_counter() - started_s
