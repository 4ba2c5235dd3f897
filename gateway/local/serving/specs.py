"""What engines are made from, out of the policy and out of the files that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config.llama_cpp import EXACT_KV
from gateway.config.model_file import model_file
from gateway.local.frames import Load, Tuning
from gateway.local.reading.gguf import read_model, shape_of
from gateway.local.reading.gguf_reading import BrokenGguf
from gateway.local.reading.lora_file import adapter_problem
from gateway.local.serving.engine_check import MissingModel
from gateway.local.serving.keeping import EngineSpec, Keeping
from policies.engine_memory import BLOCK_NUMBERS, PROCESSOR_PASS_TOKENS, ContextShape, memory_of

TEMPLATE_BYTES_MAX: Final = 4 << 20

if TYPE_CHECKING:
    from gateway.config import LlamaCppProvider
    from gateway.local.reading.gguf import ModelFile


def spec_of(name: str, provider: LlamaCppProvider) -> EngineSpec:
    """The spec of the provider's engine. Reads its files; raises `FileNotFoundError` and `MissingModel`."""
    path = model_file(provider.model_path)
    try:
        model = read_model(path)
    except BrokenGguf as problem:
        raise MissingModel(f"{path} {problem}") from problem
    for adapter, file in provider.adapters.items():
        if (problem_there := _file_problem(file) or adapter_problem(file, model)) is not None:
            raise MissingModel(f"the adapter {adapter}, {file}: {problem_there}")
    if (cells := cells_problem(model, provider.kv_type)) is not None:
        raise MissingModel(f"{path}: {cells}")
    template = provider.chat_template
    load = Load(
        model_path=str(path),
        task=model.task if provider.task == "auto" else provider.task,
        tuning=tuning_of(provider),
        chat_template=None if template is None else _text(template),
        adapters=tuple((adapter, str(file)) for adapter, file in provider.adapters.items()),
        max_waiting=provider.max_queue,
        warm_up=provider.warm_up,
    )
    keeping = Keeping(provider.load == "on_demand", provider.keep_alive_s, provider.pinned)
    return EngineSpec(name, load, keeping, needed_bytes(model, load))


def _file_problem(path: Path) -> str | None:
    """Why nothing can be read from there. A device has no end, and a pipe may have no beginning."""
    return None if path.is_file() else "there is no such file"


def _text(path: Path) -> str:
    """Raises `MissingModel`."""
    problem = _file_problem(path)
    if problem is None and path.stat().st_size > TEMPLATE_BYTES_MAX:
        problem = f"it is larger than {TEMPLATE_BYTES_MAX} bytes"
    try:
        if problem is None:
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = str(error)
    raise MissingModel(f"the chat template {path}: {problem}")


def cells_problem(model: ModelFile, kv_type: str) -> str | None:
    """Why cells of this type cannot hold what the model keeps; None where they can."""
    odd = next((length for length in (model.key_length, model.value_length) if length % BLOCK_NUMBERS), None)
    if kv_type in EXACT_KV or odd is None:
        return None
    return f"kv_type {kv_type} takes numbers by {BLOCK_NUMBERS}, and each head of this model has {odd}"


def tuning_of(provider: LlamaCppProvider) -> Tuning:
    cache = provider.cache
    return Tuning(
        slots=provider.slots,
        context_tokens=provider.context_tokens,
        batch_tokens=provider.batch_tokens,
        threads=provider.threads,
        unified=provider.kv == "unified",
        deterministic=provider.deterministic,
        max_decode_gap_s=provider.max_decode_gap_s,
        on_overflow=provider.on_overflow,
        speculate=not provider.deterministic if provider.speculate is None else provider.speculate,
        cache_bytes=0 if cache is None else cache.memory_bytes,
        cache_folder=None if cache is None or cache.folder is None else str(cache.folder),
        kv_type=provider.kv_type,
        flash_attention=provider.flash_attention,
        gpu_layers=provider.gpu_layers,
        devices=provider.devices,
        split=provider.split,
        tensor_split=provider.tensor_split,
    )


def contexts_of(load: Load) -> tuple[ContextShape, ...]:
    """The contexts that a worker with this order may make: on a processor it computes in smaller passes, and with flash
    attention only where it has to.
    """
    tuning = load.tuning
    on_device = ContextShape(
        slots=tuning.slots,
        context_tokens=tuning.context_tokens,
        batch_tokens=tuning.batch_tokens,
        kv_type=tuning.kv_type,
        unified=tuning.unified,
        flash_attention=tuning.flash_attention is not False,
        writes=load.task == "text",
    )
    has_to = tuning.flash_attention or tuning.kv_type not in EXACT_KV
    on_processor = on_device._replace(
        batch_tokens=min(tuning.batch_tokens, PROCESSOR_PASS_TOKENS), flash_attention=bool(has_to)
    )
    return (on_processor, on_device) if tuning.gpu_layers else (on_processor,)


def needed_bytes(model: ModelFile, load: Load) -> int:
    """What the worker is reckoned to take, with its adapters and what it keeps of prompts."""
    adapters = sum(Path(file).stat().st_size for _, file in load.adapters)
    shape = shape_of(model)
    most = max(memory_of(shape, context).total_bytes for context in contexts_of(load))
    return most + adapters + load.tuning.cache_bytes
