from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import EmbedJob, Finished, Job, RerankJob, Sampling, Started

pytest.importorskip("llama_cpp")

from gateway.local.binding.llama import start_library
from gateway.local.frames import Load, Tuning
from gateway.local.loading import default_threads, handle_of, load_engine
from gateway.local.preparing.prepare import Handle
from gateway.local.preparing.vector_prepare import VectorHandle
from gateway.local.scheduling.engine import BatchEngine
from policies.engine_memory import USUAL_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapters.llama_cpp_job import AnyJob, Event
    from gateway.local.loading import Loaded
    from gateway.local.scheduling.states import StateStore

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
    cells_bytes = USUAL_SLOTS * 2048 * 2 * 2 * 16 * 2 * 2
    assert cells_bytes < ready.context_bytes < 20 * cells_bytes
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


def test_what_is_kept_of_prompts_outlives_the_engine_where_there_is_a_folder(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    """The second engine begins with what the first one's slot forgot."""
    start_library()
    tuning = Tuning(slots=1, threads=1, context_tokens=512, cache_bytes=1 << 20, cache_folder=str(tmp_path / "kept"))
    load = Load(str(tiny_model_path), tuning=tuning)
    assert cached_tokens(load) == [0, 0]
    until(lambda: any((tmp_path / "kept").glob("*.state")))
    known, unknown = cached_tokens(load, least_kept=1)
    assert (known > 128, unknown) == (True, 0)


def cached_tokens(load: Load, least_kept: int = 0) -> list[int]:
    """An engine reads two prompts, one after the other: how much of each it knew."""
    events: list[Event] = []
    ended = threading.Event()

    def note(some: list[Event]) -> None:
        events.extend(some)
        if sum(isinstance(event, Finished) for event in events) == 2:
            ended.set()

    loaded = load_engine(load, lambda _: None, note)
    until(lambda: len(store_of(loaded)) >= least_kept)
    for number, text in enumerate(("fox ", "hen ")):
        loaded.submit(Handle(Job(number, prompt=text * 60, max_tokens=2, sampling=Sampling(temperature=0))))
    engine = threading.Thread(target=loaded.engine.run)
    engine.start()
    assert ended.wait(30)
    loaded.engine.stop()
    engine.join(30)
    return [event.cached_tokens for event in events if isinstance(event, Started)]


def test_a_folder_that_cannot_be_leaves_the_memory(
    tiny_model_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start_library()
    (tmp_path / "kept").touch()
    tuning = Tuning(slots=1, threads=1, context_tokens=256, cache_bytes=1 << 20, cache_folder=str(tmp_path / "kept"))
    loaded = load_engine(Load(str(tiny_model_path), tuning=tuning), lambda _: None, lambda _: None)
    assert store_of(loaded).folder is None
    assert "kept in memory only" in capfd.readouterr().err


def store_of(loaded: Loaded) -> StateStore:
    assert isinstance(loaded.engine, BatchEngine)
    recall = loaded.engine._slots.recall
    assert recall is not None
    return recall._store


def until(holds: Callable[[], bool]) -> None:
    """Threads of the folder's own tell nobody what they did."""
    deadline_s = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
