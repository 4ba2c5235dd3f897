"""What a worker does with its first order: load the model, put its engine together, and say what it has got.

An engine works off one kind of job. The worker around it only has to know how to begin a job and when one is refused.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from adapters.dialects import dialect_of
from adapters.llama_cpp_job import EmbedJob, Job, RerankJob
from gateway.local.binding.context import Context, Part
from gateway.local.binding.llama import LLAMA, Model
from gateway.local.binding.lora import load_adapters, try_adapters
from gateway.local.frames import Ready
from gateway.local.measuring.vector_engine import vector_engine
from gateway.local.preparing.prepare import Handle, Preparer
from gateway.local.preparing.template import ChatTemplate
from gateway.local.preparing.vector_prepare import VectorHandle
from gateway.local.reading.fingerprint import fingerprints
from gateway.local.reading.gguf_reading import BrokenGguf
from gateway.local.scheduling.engine import BatchEngine
from gateway.local.scheduling.line import RunLine
from gateway.local.scheduling.state_folder import StateFolder
from gateway.local.scheduling.states import StateStore
from policies.engine_memory import USUAL_CONTEXT_TOKENS, USUAL_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.llama_cpp_job import AnyJob, Event
    from gateway.local.frames import Load, Standing

WARM_UP_TOKENS: Final = 16
CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")

AnyHandle = Handle | VectorHandle


class Running(Protocol):
    """An engine, whatever it makes."""

    @property
    def steps(self) -> int: ...

    @property
    def busy(self) -> bool: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def standing(self) -> Standing: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model. `submit` prepares a job and gives it to the engine; it raises `InvalidRequest`."""

    engine: Running
    submit: Callable[[AnyHandle], None]
    ready: Ready


def handle_of(job: AnyJob, task: str) -> AnyHandle | None:
    """The job inside the worker; None where a model of this task does not do such jobs."""
    if isinstance(job, Job):
        return Handle(job) if task == "text" else None
    fits = isinstance(job, RerankJob) if task == "rerank" else isinstance(job, EmbedJob) and task == "embed"
    return VectorHandle(job) if fits else None


def load_engine(load: Load, on_progress: Callable[[float], None], emit: Callable[[list[Event]], None]) -> Loaded:
    """Raises `ModelUnusable`, and `ValueError` for a broken chat template."""
    started_s = time.monotonic()
    load = msgspec.structs.replace(
        load, tuning=msgspec.structs.replace(load.tuning, threads=load.tuning.threads or default_threads())
    )
    model = Model(Path(load.model_path), on_progress, plain_weights=load.plain_weights, tuning=load.tuning)
    loaded = _text(load, model, emit) if load.task == "text" else _vectors(load, model, emit)
    ready = msgspec.structs.replace(
        loaded.ready,
        load_s=time.monotonic() - started_s,
        model_bytes=LLAMA.llama_model_size(model.handle),
        devices=model.devices,
        warning=model.warning,
    )
    return Loaded(loaded.engine, loaded.submit, ready)


def _text(load: Load, model: Model, emit: Callable[[list[Event]], None]) -> Loaded:
    tuning = msgspec.structs.replace(
        load.tuning,
        slots=load.tuning.slots or USUAL_SLOTS,
        context_tokens=load.tuning.context_tokens or min(model.trained_context_tokens, USUAL_CONTEXT_TOKENS),
    )
    source = load.chat_template or model.chat_template()
    template = ChatTemplate(source, bos=model.bos_text, eos=model.eos_text) if source else None
    if template is not None:
        model.show(template.dialect.marks)
    model.adapters = load_adapters(model, load)
    context = Context(model, tuning)
    if load.warm_up:
        _warm_up(context)
    context.change_s = try_adapters(context, list(model.adapters))
    engine = BatchEngine(model, context, RunLine(load.max_waiting), emit, tuning)
    if tuning.cache_bytes:
        engine.keep_states(_store(load))
    preparer = Preparer(model, template, context.context_tokens, tuning.on_overflow)

    def submit(handle: AnyHandle) -> None:
        if isinstance(handle, Handle):
            engine.submit(preparer.prepare(handle))

    dialect = template.dialect if template is not None else dialect_of("")
    ready = Ready(
        model=Path(load.model_path).name,
        context_tokens=context.context_tokens,
        threads=tuning.threads,
        knows_tools=template is not None and template.knows_tools,
        load_s=0.0,
        slots=tuning.slots,
        dialect=dialect.name,
        reasoning=dialect.reasoning,
        context_bytes=context.allocated_bytes,
    )
    return Loaded(engine, submit, ready)


def _vectors(load: Load, model: Model, emit: Callable[[list[Event]], None]) -> Loaded:
    engine, preparer, context = vector_engine(model, load, emit)

    def submit(handle: AnyHandle) -> None:
        if isinstance(handle, VectorHandle):
            engine.submit(preparer.prepare(handle))

    ready = Ready(
        model=Path(load.model_path).name,
        context_tokens=context.text_tokens,
        threads=load.tuning.threads,
        knows_tools=False,
        load_s=0.0,
        task=load.task,
        vector_size=context.width if load.task == "embed" else 0,
    )
    return Loaded(engine, submit, ready)


def _store(load: Load) -> StateStore:
    """Where prompts are kept that no slot holds any more. An engine works as well without the folder."""
    tuning = load.tuning
    if tuning.cache_folder is None:
        return StateStore(tuning.cache_bytes)
    build = f"{version('llama-cpp-python')} {LLAMA.llama_print_system_info().decode()}"
    try:
        folder = StateFolder(Path(tuning.cache_folder), fingerprints(load, build), tuning.cache_bytes)
    except (BrokenGguf, OSError) as problem:
        sys.stderr.write(f"prompts are kept in memory only: {problem}\n")
        return StateStore(tuning.cache_bytes)
    store = StateStore(tuning.cache_bytes, folder)
    folder.start(store.add)
    return store


def _warm_up(context: Context) -> None:
    """Decode once, so that a build that faults on this processor does so before anyone waits for an answer."""
    context.read([Part(0, [0] * min(WARM_UP_TOKENS, context.batch_tokens, context.context_tokens - 1), 1)])
    context.write([0], [0])
    context.clear(0)


def default_threads(quota: Path = CGROUP_QUOTA) -> int:
    """All cores but one: llama.cpp's threads spin at barriers, and with every core taken it runs at a tenth.

    A container sees all of its host's cores, and may use only part of their time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota_cores(quota, cores)) - 1)


def _quota_cores(quota: Path, cores: int) -> int:
    try:
        allowed, period = quota.read_text().split()
        return cores if allowed == "max" else max(1, ceil(int(allowed) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return cores
