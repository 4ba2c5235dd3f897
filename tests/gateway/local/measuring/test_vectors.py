from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.llama_cpp_job import EmbedJob, Event, Failed, Place, RerankJob, Scores, Started, Vectors

pytest.importorskip("llama_cpp")

from gateway.local.binding.llama import DecodeFailed
from gateway.local.measuring.vectors import VectorEngine, unit_vectors
from tests.gateway.local.measuring.vector_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def rig(tiny_embedding_path: Path) -> Iterator[Rig]:
    rig = Rig(tiny_embedding_path)
    yield rig
    rig.close()


def of(rig: Rig, job: int) -> list[Event]:
    return [event for event in rig.events if event.job == job]


def vectors(rig: Rig, job: int) -> NDArray[np.float32]:
    (event,) = [event for event in of(rig, job) if isinstance(event, Vectors)]
    return np.stack([np.frombuffer(vector, "<f4") for vector in event.vectors])


def test_vectors_come_in_the_order_of_their_inputs_and_have_length_one(rig: Rig) -> None:
    texts = ("the sun and the moon", "cat", "the river of the city", "dog")
    rig.submit(EmbedJob(1, texts))
    rig.work_off()
    together = vectors(rig, 1)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    for number, text in enumerate(texts):
        rig.submit(EmbedJob(10 + number, (text,)))
        rig.work_off()
        assert np.abs(vectors(rig, 10 + number)[0] - together[number]).max() < 1e-4


def test_several_requests_share_a_batch(rig: Rig) -> None:
    for job in range(1, 9):
        rig.submit(EmbedJob(job, ("the cat", "the dog"), Place(f"team {job}")))
    before = rig.parts.engine.steps
    rig.parts.engine.step()
    assert rig.parts.engine.steps == before + 1
    assert not rig.parts.engine.busy
    assert sorted(event.job for event in rig.events if isinstance(event, Vectors)) == list(range(1, 9))


def test_a_request_is_told_that_it_began_and_how_many_tokens_it_has(rig: Rig) -> None:
    rig.submit(EmbedJob(1, ("the cat", "dog")))
    rig.work_off()
    started, done = of(rig, 1)
    assert isinstance(started, Started)
    assert isinstance(done, Vectors)
    assert started.prompt_tokens == done.prompt_tokens == 4 + 3
    assert done.compute_s > 0


def test_a_small_request_overtakes_one_of_thousands(rig: Rig) -> None:
    rig.submit(EmbedJob(1, ("the cat and the dog",) * 1000, Place("big")))
    rig.parts.engine.step()
    rig.submit(EmbedJob(2, ("sun",), Place("small")))
    rig.parts.engine.step()
    assert [type(event) for event in of(rig, 2)] == [Started, Vectors]
    assert rig.parts.engine.busy


def test_the_time_of_a_batch_is_shared_by_tokens(rig: Rig) -> None:
    rig.submit(EmbedJob(1, ("cat " * 98,)))
    rig.submit(EmbedJob(2, ("cat " * 8,)))
    rig.work_off()
    one, two = (of(rig, job)[-1] for job in (1, 2))
    assert isinstance(one, Vectors)
    assert isinstance(two, Vectors)
    assert one.compute_s == pytest.approx(10 * two.compute_s, abs=2e-8)  # whole nanoseconds


def test_who_cancels_leaves_within_a_batch(rig: Rig) -> None:
    work = rig.submit(EmbedJob(1, ("the cat",) * 2000))
    rig.parts.engine.step()
    work.handle.cancelled = True
    rig.submit(EmbedJob(2, ("dog",)))
    rig.parts.engine.step()
    assert not rig.parts.engine.busy
    assert [type(event) for event in of(rig, 1)] == [Started]
    assert [type(event) for event in of(rig, 2)] == [Started, Vectors]


def test_a_full_engine_says_so_and_when_to_come_again(tiny_embedding_path: Path) -> None:
    rig = Rig(tiny_embedding_path, max_waiting=2)
    rig.submit(EmbedJob(9, ("warm",)))
    rig.work_off()
    for job in (1, 2, 3):
        rig.submit(EmbedJob(job, ("cat",)))
    (refusal,) = of(rig, 3)
    assert isinstance(refusal, Failed)
    assert (refusal.status, refusal.code) == (503, "engine_busy")
    assert refusal.retry_after_s
    rig.work_off()
    assert isinstance(of(rig, 1)[-1], Vectors)
    rig.close()


class FakeContext:
    """Every text's vector is its length; reading takes as long as `tokens_per_s` says."""

    batch_tokens = 512
    text_tokens = 512
    width = 2

    def __init__(self) -> None:
        self.now = 0.0
        self.tokens_per_s = 1000.0
        self.error: DecodeFailed | None = None
        self.row = [3.0, 4.0]
        self.batches: list[int] = []

    def read(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        self.batches.append(sum(map(len, texts)))
        self.now += self.batches[-1] / self.tokens_per_s
        if self.error:
            raise self.error
        return np.array([self.row] * len(texts), np.float32)


class Fake:
    def __init__(self) -> None:
        self.context = FakeContext()
        self.events: list[Event] = []
        self.engine = VectorEngine(self.context, self.events.extend, clock=lambda: self.context.now)  # type: ignore[arg-type]

    def submit(self, job: EmbedJob | RerankJob, texts: list[list[int]]) -> None:
        from gateway.local.preparing.vector_prepare import VectorHandle, VectorWork  # noqa: PLC0415 - loads llama.cpp

        self.engine.submit(VectorWork(VectorHandle(job), texts))


@pytest.fixture
def fake() -> Fake:
    return Fake()


def test_a_slow_engine_has_small_batches(fake: Fake) -> None:
    fake.submit(EmbedJob(1, ("",) * 100), [[5] * 32] * 100)
    fake.engine.step()
    fake.engine.step()
    assert fake.context.batches == [512, 128]


def test_who_has_no_patience_left_is_told(fake: Fake) -> None:
    fake.submit(EmbedJob(1, ("",)), [[5] * 500])
    fake.submit(EmbedJob(2, ("",), Place("b", patience_s=0.1)), [[5] * 500])
    fake.engine.step()
    fake.engine.step()
    (failed,) = [event for event in fake.events if event.job == 2]
    assert isinstance(failed, Failed)
    assert (failed.status, failed.message) == (503, "The engine had no room within 0.1 s.")


def test_what_llama_cpp_declines_ends_its_requests_alone(fake: Fake) -> None:
    fake.context.error = DecodeFailed("llama.cpp says -3")
    fake.submit(EmbedJob(1, ("",)), [[5] * 400])
    fake.submit(EmbedJob(2, ("",), Place("b")), [[5] * 400])
    fake.engine.step()
    fake.context.error = None
    fake.engine.step()
    ends = {event.job: type(event) for event in fake.events if not isinstance(event, Started)}
    assert ends == {1: Failed, 2: Vectors}


def test_numbers_that_are_none_are_an_error(fake: Fake) -> None:
    fake.context.row = [float("nan"), 1.0]
    fake.submit(EmbedJob(1, ("",)), [[5]])
    fake.engine.step()
    assert isinstance(fake.events[-1], Failed)


def test_scores_are_as_the_model_gives_them(fake: Fake) -> None:
    fake.submit(RerankJob(1, "q", ("a", "b")), [[5], [6]])
    fake.engine.step()
    done = fake.events[-1]
    assert isinstance(done, Scores)
    assert (done.scores, done.prompt_tokens) == ((3.0, 3.0), 2)
    assert done.compute_s == pytest.approx(0.002)


def test_what_stands_in_the_engine_is_told(fake: Fake) -> None:
    fake.submit(EmbedJob(1, ("",) * 3), [[5] * 400, [5] * 400, [5] * 100])
    fake.engine.step()
    fake.submit(EmbedJob(2, ("",)), [[5] * 7])
    standing = fake.engine.standing()
    assert (standing.waiting, standing.waiting_tokens, standing.running, standing.reading_tokens) == (1, 7, 1, 400)
    assert standing.read_tokens_per_s == pytest.approx(1000)
    assert (standing.steps, standing.read_tokens) == (1, 500)


def test_the_thread_that_runs_it_stops_when_told(fake: Fake) -> None:
    thread = threading.Thread(target=fake.engine.run)
    thread.start()
    fake.engine.stop()
    thread.join(2)
    assert not thread.is_alive()


def test_fewer_dimensions_are_a_unit_vector_again() -> None:
    rows = np.array([[3.0, 4.0, 12.0], [0.0, 0.0, 0.0]], np.float32)
    assert np.allclose(unit_vectors(rows, 2), [[0.6, 0.8], [0.0, 0.0]])
    assert np.allclose(unit_vectors(rows)[0], rows[0] / 13)
