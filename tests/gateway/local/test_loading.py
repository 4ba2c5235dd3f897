from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import EmbedJob, Job, RerankJob

pytest.importorskip("llama_cpp")

from gateway.local.frames import Load, Tuning
from gateway.local.llama import start_library
from gateway.local.loading import default_threads, handle_of, load_engine
from gateway.local.prepare import Handle
from gateway.local.vector_prepare import VectorHandle
from policies.engine_memory import USUAL_SLOTS

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.llama_cpp_job import AnyJob, Event

TEXT, EMBED, RERANK = Job(1, prompt="x"), EmbedJob(1, ("x",)), RerankJob(1, "x", ("y",))


@pytest.mark.parametrize(
    ("job", "task", "kind"),
    [(TEXT, "text", Handle), (EMBED, "embed", VectorHandle), (RERANK, "rerank", VectorHandle)],
)
def test_a_model_does_jobs_of_its_kind_and_no_others(job: AnyJob, task: str, kind: type) -> None:
    assert isinstance(handle_of(job, task), kind)
    for other in {"text", "embed", "rerank"} - {task}:
        assert handle_of(job, other) is None


def test_what_is_left_open_becomes_the_usual(tiny_model_path: Path) -> None:
    start_library()
    events: list[Event] = []
    loaded = load_engine(Load(str(tiny_model_path), tuning=Tuning(threads=1)), lambda _: None, events.extend)
    ready = loaded.ready
    assert (ready.slots, ready.context_tokens) == (USUAL_SLOTS, 2048)
    assert ready.model_bytes > 10_000
    # 2 layers, 2 heads of 16 numbers, keys and values, two bytes each.
    assert ready.context_bytes > USUAL_SLOTS * 2048 * 2 * 2 * 16 * 2 * 2
    assert not loaded.engine.busy
    loaded.submit(Handle(Job(3, prompt="hello", max_tokens=2)))
    assert loaded.engine.busy
    loaded.submit(VectorHandle(EMBED))
    assert loaded.engine.standing().waiting == 1


def test_a_container_has_the_threads_of_its_share(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    assert default_threads(quota) == max(1, cores - 1)
    for text, threads in [("100000 100000", 1), ("max 100000", max(1, cores - 1)), ("nonsense", max(1, cores - 1))]:
        quota.write_text(text)
        assert default_threads(quota) == threads
