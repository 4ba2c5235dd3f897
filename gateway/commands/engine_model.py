"""One model's part of the doctor's report: what its file says, how it runs best here, and the provider to paste."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.config import model_file
from gateway.config.model_file import PACKAGE
from gateway.local.reading.gguf import ModelFile, read_model, shape_of
from gateway.local.reading.gguf_reading import BrokenGguf
from gateway.scrubbing import printable
from policies.engine_advice import Advice, Means, advise, usable_gpu_bytes
from policies.engine_memory import ContextShape, fitting_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.machine import Machine
    from policies.engine_devices import Build

_MIB: Final = 1 << 20
_NAME_CHARS: Final = 80
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._@-]+")
_PART_OF_SPLIT: Final = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")


def name_of(model: str) -> str:
    """What a model is called where nobody says: the file without its ending, or the package, in a name's letters."""
    stem = model.removeprefix(PACKAGE) if model.startswith(PACKAGE) else Path(model).stem
    return _NO_NAME.sub("-", _PART_OF_SPLIT.sub("", stem)).lstrip("._@-")[:_NAME_CHARS] or "model"


class ModelReport(NamedTuple):
    """`trouble` says why the model cannot be used; without `model` nothing is known of it at all."""

    path: str
    trouble: str = ""
    model: ModelFile | None = None
    advice: Advice | None = None
    hint: str = ""

    def provider(self) -> dict[str, Any]:
        """The settings to paste. Layers are counted out, so that the engine refuses to start where the GPU is gone."""
        if self.model is None or self.advice is None:
            return {}
        advice, task = self.advice, self.model.task
        settings: dict[str, Any] = {"kind": "llama_cpp", "model_path": self.path}
        if task != "text":
            settings["task"] = task
        settings |= {
            "slots": advice.slots,
            "context_tokens": advice.context_tokens,
            "batch_tokens": advice.batch_tokens,
            "threads": advice.threads,
            "gpu_layers": advice.layers,
        }
        if advice.kv_type != "f16":
            settings |= {"kv_type": advice.kv_type, "flash_attention": True}
        return settings

    def lines(self) -> Iterator[str]:
        yield f"Model {self.path}"
        if self.model is None or self.advice is None:
            return
        model, advice = self.model, self.advice
        called = printable(f"{model.architecture} {model.name or 'without a name'}", _NAME_CHARS)
        weights = f"{model.file_type or 'mixed types'}, {model.tensor_bytes // _MIB} MiB of weights"
        yield f"  {called}, {weights}, {model.layers} layers, trained for {model.context_tokens} tokens"
        where = f"{advice.layers} of {model.layers + 1} layers on GPUs" if advice.layers else "on the CPU"
        yield f"  best here: {where}, {advice.needed_bytes // _MIB} MiB in all"
        yield from (f"  note: {note}" for note in (*advice.notes, *filter(None, (self.hint,))))
        if advice.fits:
            yield "  provider:"
            yield f"    {name_of(self.path)}:"
            yield from (f"      {key}: {_yaml(value)}" for key, value in self.provider().items())

    def document(self) -> dict[str, Any]:
        if self.model is None or self.advice is None:
            return {"path": self.path, "trouble": self.trouble}
        model = self.model
        said = {
            "architecture": model.architecture,
            "name": model.name,
            "file_type": model.file_type,
            "task": model.task,
            "layers": model.layers,
            "weights_bytes": model.tensor_bytes,
            "trained_context_tokens": model.context_tokens,
            "vocabulary_size": model.vocabulary_size,
        }
        advice = self.advice._asdict()
        return {
            "path": self.path,
            "trouble": self.trouble or None,
            "model": said,
            "advice": advice,
            "hint": self.hint or None,
            "provider": self.provider(),
        }


def examine_model(path: Path, build: Build, here: Machine) -> ModelReport:
    """What one file comes to on this machine. Reads its head only."""
    name = str(path)
    try:
        file = model_file(name)
        model = read_model(file)
    except FileNotFoundError as problem:
        return ModelReport(name, str(problem))
    except (BrokenGguf, OSError) as problem:
        return ModelReport(name, f"cannot be read: {problem}")
    shape = shape_of(model)
    means = Means(here.free_bytes, tuple(gpu.free_bytes for gpu in build.gpus), here.cores)
    advice = advise(shape, means, writes=model.task == "text")
    shown = name if name.startswith(PACKAGE) else str(path.absolute())
    unused = usable_gpu_bytes([card.free_bytes for card in here.cards]) if not build.gpus else 0
    hint = ""
    if unused:
        layers = fitting_layers(shape, ContextShape(writes=model.task == "text"), unused)
        hint = f"with a build for it, {layers} of {model.layers + 1} layers would fit on the GPU that is not used now"
    return ModelReport(shown, "" if advice.fits else "does not fit into this machine's memory", model, advice, hint)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and not value.replace("_", "").isalnum() else str(value)
