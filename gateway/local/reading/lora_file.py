"""LoRA files, read before llama.cpp reads them: what would make it end the process is refused here, with the reason.

llama.cpp checks some of a file's shapes when it loads it, the others when it computes with them, by ending the process.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gateway.local.reading.gguf_reading import BrokenGguf, read_gguf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gateway.local.reading.gguf import ModelFile
    from gateway.local.reading.gguf_reading import Gguf, Tensor

RANK_MAX: Final = 4096
_DOWN, _UP = ".lora_a", ".lora_b"
_STRING, _FLOAT = 8, 6
_KINDS: Final = {"general.type": _STRING, "general.architecture": _STRING, "adapter.type": _STRING,
                 "adapter.lora.alpha": _FLOAT}  # fmt: skip
# F32, F16, Q8_0, BF16: what adapters are made of, and every backend multiplies with.
_ELEMENTS: Final = frozenset({0, 1, 8, 30})
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_SHOWN = 64

Shape = tuple[int, int, int]


def adapter_problem(path: Path, model: ModelFile) -> str | None:
    """Why the file at `path` is no LoRA adapter for this model; None where it is one."""
    try:
        adapter = read_gguf(path)
        weights = {tensor.name: tensor for file in model.files for tensor in read_gguf(file).tensors}
    except (BrokenGguf, OSError) as error:
        return str(error)
    return _claims_problem(adapter, model.architecture) or _weights_problem(adapter.tensors, weights)


def _claims_problem(adapter: Gguf, architecture: str) -> str | None:
    for key, kind in _KINDS.items():
        if adapter.kinds.get(key, kind) != kind:
            return f"says something at {key!r} that cannot be"
    says = adapter.values.get
    if says("general.type") != "adapter" or says("adapter.type") != "lora":
        return "is no LoRA adapter"
    if (own := says("general.architecture")) != architecture:
        return f"is an adapter for {str(own or 'an unknown architecture')[:_SHOWN]}"
    alpha = says("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, float) or not math.isfinite(alpha):
        return "has an alpha that is no number"
    if "adapter.alora.invocation_tokens" in adapter.values:
        return "is to be activated within a text (aLoRA), which this engine does not do"
    return None


def _weights_problem(tensors: Iterable[Tensor], weights: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the pairs of matrices that are added to the model's own."""
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        target, half = tensor.name[: -len(_DOWN)], tensor.name[-len(_DOWN) :]
        if half in (_DOWN, _UP):
            pairs.setdefault(target, {})[half] = tensor
        elif not tensor.name.endswith("_norm.weight"):
            return f"has {tensor.name!r}, which is no part of a LoRA adapter"
    if not pairs:
        return "changes nothing: it has no weights"
    if _EMBEDDING in pairs and _OUTPUT not in weights:
        return f"changes {_EMBEDDING!r}, which this model also writes with: llama.cpp cannot compute that"
    found = (_pair_problem(target, pair, weights) for target, pair in pairs.items())
    return next((problem for problem in found if problem is not None), None)


def _pair_problem(target: str, pair: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str | None:
    if len(pair) != len((_DOWN, _UP)):
        return f"has half of {target!r} only"
    if target not in weights:
        return f"changes {target!r}, which the model does not have"
    if any(half.kind not in _ELEMENTS for half in pair.values()):
        return f"has numbers of an unusual type at {target!r}"
    shapes = _shape(weights[target]), _shape(pair[_DOWN]), _shape(pair[_UP])
    if None in shapes or not _fits(target, *(shape for shape in shapes if shape is not None)):
        return f"is for another model: its shape at {target!r} does not fit"
    return None


def _shape(tensor: Tensor) -> Shape | None:
    """Inputs, outputs, experts."""
    width = len(tensor.shape)
    return (tensor.shape[0], tensor.shape[1], tensor.shape[2] if width > 2 else 1) if 2 <= width <= 3 else None


def _fits(target: str, own: Shape, down: Shape, up: Shape) -> bool:
    rank = up[0]
    if not 0 < rank <= RANK_MAX or not own[2] == down[2] == up[2]:
        return False
    if target.endswith(_EMBEDDING):
        return own[0] == up[1] and own[1] == down[1] and down[0] == rank
    return own[0] == down[0] and down[1] == rank and own[1] == up[1]
