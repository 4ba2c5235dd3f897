from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from adapters.llama_cpp_job import (
    Delta,
    EmbedJob,
    Failed,
    Finished,
    Job,
    RerankJob,
    Sampling,
    Scores,
    Started,
    Vectors,
)
from gateway.local.frames import (
    Cancel,
    FrameSplitter,
    Load,
    Ping,
    Pong,
    Progress,
    Ready,
    Refused,
    Shutdown,
    Standing,
    Submit,
    Tuning,
    pack,
    unpack_reports,
)
from gateway.local.serving.process import WORKER_COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.frames import Order, Report

ROOT = Path(__file__).resolve().parents[3]
GREEDY = Sampling(temperature=0)


class Wire:
    """The gateway's end of a worker's socket, read the simple way."""

    def __init__(self, ours: socket.socket) -> None:
        ours.settimeout(20)
        self._socket = ours
        self._splitter = FrameSplitter()
        self._reports: list[Report] = []

    def send(self, *orders: Order) -> None:
        self._socket.sendall(b"".join(map(pack, orders)))

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def next(self, kind: type | tuple[type, ...]) -> Report:
        """The next report of a kind; others before it are dropped."""
        while True:
            while self._reports:
                report = self._reports.pop(0)
                if isinstance(report, kind):
                    return report
            data = self._socket.recv(65536)
            assert data, f"the worker hung up before any {kind}"
            for body in self._splitter.feed(data):
                self._reports += unpack_reports(body)

    def hang_up(self) -> None:
        self._socket.close()


@contextmanager
def started_worker() -> Iterator[tuple[Wire, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with theirs:
        process = subprocess.Popen(
            [*WORKER_COMMAND, str(theirs.fileno())], pass_fds=(theirs.fileno(),), env=environment
        )
    wire = Wire(ours)
    try:
        yield wire, process
    finally:
        wire.hang_up()
        process.kill()
        process.wait(10)


def load(path: Path, task: str = "text", *, slots: int = 4, context_tokens: int = 512) -> Load:
    return Load(str(path), task=task, tuning=Tuning(slots=slots, context_tokens=context_tokens, threads=1))


@pytest.fixture(scope="module")
def worker(tiny_model_path: Path) -> Iterator[Wire]:
    """One worker for all tests that leave it well."""
    with started_worker() as (wire, _):
        wire.send(load(tiny_model_path))
        percents = []
        while isinstance(report := wire.next((Progress, Ready)), Progress):
            percents.append(report.percent)
        assert percents == sorted(set(percents))
        assert percents[-1] == 100
        assert isinstance(report, Ready)
        assert (report.task, report.slots, report.context_tokens, report.threads) == ("text", 4, 512, 1)
        assert report.load_s > 0.0
        yield wire


def test_a_job_is_answered(worker: Wire) -> None:
    worker.send(Submit(Job(1, messages=[{"role": "user", "content": "Say hello."}], sampling=GREEDY, max_tokens=3)))
    assert worker.next(Started).prompt_tokens > 5  # type: ignore[union-attr]
    assert worker.next(Delta).text  # type: ignore[union-attr]
    assert worker.next(Finished).completion_tokens == 3  # type: ignore[union-attr]


def test_a_bad_job_fails_alone(worker: Wire) -> None:
    worker.send(Submit(Job(2, prompt="x", schema="{")), Submit(Job(3, prompt="x", sampling=GREEDY, max_tokens=1)))
    failed = worker.next(Failed)
    assert isinstance(failed, Failed)
    assert (failed.job, failed.status, failed.param) == (2, 400, "response_format")
    assert worker.next(Finished).job == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("job", [EmbedJob(6, ("x",)), RerankJob(6, "x", ("y",))])
def test_a_job_for_another_kind_of_model_is_refused(worker: Wire, job: EmbedJob | RerankJob) -> None:
    worker.send(Submit(job))
    failed = worker.next(Failed)
    assert isinstance(failed, Failed)
    assert (failed.job, failed.status, failed.code) == (6, 400, "unsupported_endpoint")


def test_pings_are_answered_while_it_works_and_cancels_are_heeded(worker: Wire) -> None:
    worker.send(Submit(Job(4, prompt="Once upon a time", sampling=GREEDY)), Ping())
    assert isinstance(worker.next(Pong), Pong)
    worker.next(Delta)
    worker.send(Cancel(4), Cancel(4), Cancel(99), Submit(Job(5, prompt="Hi", sampling=GREEDY, max_tokens=1)))
    while (ended := worker.next((Finished, Failed))).job == 4:  # type: ignore[union-attr]
        assert isinstance(ended, Finished)
    assert ended.job == 5  # type: ignore[union-attr]


def test_it_tells_how_it_stands_and_at_last_that_it_is_at_rest(worker: Wire) -> None:
    worker.send(Submit(Job(7, prompt="Once upon a time", sampling=GREEDY, max_tokens=9)))
    worker.next(Finished)
    while (standing := worker.next(Standing)).running:  # type: ignore[union-attr]
        pass
    assert isinstance(standing, Standing)
    assert (standing.waiting, standing.waiting_tokens, standing.reading_tokens) == (0, 0, 0)
    assert standing.cells == 4 * 512
    assert standing.written_tokens > 9
    assert standing.steps > 9


def test_a_crowd_that_waited_for_the_model_gets_all_slots_and_places(tiny_model_path: Path) -> None:
    with started_worker() as (wire, _):
        wire.send(msgspec.structs.replace(load(tiny_model_path, slots=4), max_waiting=2))
        wire.next(Ready)
        wire.send(*[Submit(Job(number, prompt="Once", sampling=GREEDY, max_tokens=20)) for number in range(1, 7)])
        ends = [wire.next((Finished, Failed)) for _ in range(6)]
        assert [type(end) for end in ends] == [Finished] * 6


def test_a_line_too_long_is_refused_at_once(tiny_model_path: Path) -> None:
    with started_worker() as (wire, _):
        wire.send(msgspec.structs.replace(load(tiny_model_path, slots=1), max_waiting=2))
        wire.next(Ready)
        wire.send(*[Submit(Job(number, prompt="Once upon a time", sampling=GREEDY)) for number in range(1, 9)])
        failed = wire.next(Failed)
        assert isinstance(failed, Failed)
        assert (failed.status, failed.code) == (503, "engine_busy")
        assert failed.retry_after_s is not None
        assert failed.retry_after_s > 0.0


def test_an_embedding_model_makes_vectors(tiny_embedding_path: Path) -> None:
    with started_worker() as (wire, _):
        wire.send(load(tiny_embedding_path, "embed", context_tokens=0))
        ready = wire.next(Ready)
        assert isinstance(ready, Ready)
        assert (ready.task, ready.vector_size) == ("embed", 32)
        wire.send(Submit(EmbedJob(1, ("one", "two"))), Submit(Job(2, prompt="x")))
        assert wire.next(Failed).job == 2  # type: ignore[union-attr]
        vectors = wire.next(Vectors)
        assert isinstance(vectors, Vectors)
        assert [len(vector) for vector in vectors.vectors] == [4 * 32, 4 * 32]


def test_a_ranking_model_makes_scores(tiny_rerank_path: Path) -> None:
    with started_worker() as (wire, _):
        wire.send(load(tiny_rerank_path, "rerank", context_tokens=0))
        ready = wire.next(Ready)
        assert isinstance(ready, Ready)
        assert (ready.task, ready.vector_size) == ("rerank", 0)
        wire.send(Submit(RerankJob(1, "sun", ("moon", "river"))))
        scores = wire.next(Scores)
        assert isinstance(scores, Scores)
        assert len(scores.scores) == 2


def test_it_ends_when_told_to_or_hung_up_on(tiny_model_path: Path) -> None:
    for farewell, code in (("shutdown", 0), ("hang up", 0), ("terminate", -signal.SIGTERM)):
        with started_worker() as (wire, process):
            wire.send(load(tiny_model_path))
            wire.next(Progress)
            if farewell == "shutdown":
                wire.send(Shutdown())
            elif farewell == "hang up":
                wire.hang_up()
            else:
                process.terminate()
            assert process.wait(10) == code


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\1\0\0\0\xc1", pack(Ping())])
def test_whoever_does_not_speak_its_language_is_left(tiny_model_path: Path, data: bytes) -> None:
    assert tiny_model_path
    with started_worker() as (wire, process):
        wire.send_bytes(data)
        assert process.wait(10) == 1


@pytest.mark.parametrize("template", [None, "{% if %}"])
def test_a_model_that_cannot_be_used_is_refused(tmp_path: Path, tiny_model_path: Path, template: str | None) -> None:
    path = tiny_model_path
    if template is None:
        path = tmp_path / "broken.gguf"
        path.write_bytes(b"GGUF" + bytes(64))
    with started_worker() as (wire, process):
        wire.send(Load(str(path), tuning=Tuning(context_tokens=512, threads=1), chat_template=template))
        refused = wire.next(Refused)
        assert isinstance(refused, Refused)
        assert ("cannot load" if template is None else "does not parse") in refused.message
        assert process.wait(10) == 1


def test_it_dies_with_its_parent_even_when_the_socket_stays_open(tiny_model_path: Path) -> None:
    """A gateway that is killed -9 leaves no worker behind."""
    ours, theirs = socket.socketpair()
    parent_code = textwrap.dedent("""
        import subprocess, sys, time
        worker = subprocess.Popen(sys.argv[2:], pass_fds=(int(sys.argv[1]),))
        print(worker.pid, flush=True)
        time.sleep(60)
    """)
    fd = str(theirs.fileno())
    command = [sys.executable, "-c", parent_code, fd, *WORKER_COMMAND, fd]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        ours,
        theirs,
        subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE, env=environment) as parent,
    ):
        assert parent.stdout
        pid = int(parent.stdout.readline())
        watched = os.pidfd_open(pid)
        wire = Wire(ours)
        wire.send(load(tiny_model_path))
        wire.next(Progress)
        parent.send_signal(signal.SIGKILL)
        import select  # noqa: PLC0415 - for this one wait

        assert select.select([watched], [], [], 10)[0] == [watched]
        os.close(watched)
