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

import pytest

from adapters.llama_cpp_job import Delta, Failed, Finished, Job, Sampling, Started
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
    Submit,
    Tuning,
    pack,
    unpack_reports,
)
from gateway.local.process import WORKER_COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.frames import Order, Report

ROOT = Path(__file__).resolve().parents[3]
GREEDY = Sampling(temperature=0)


class Line:
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
def started_worker() -> Iterator[tuple[Line, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with theirs:
        process = subprocess.Popen(
            [*WORKER_COMMAND, str(theirs.fileno())], pass_fds=(theirs.fileno(),), env=environment
        )
    line = Line(ours)
    try:
        yield line, process
    finally:
        line.hang_up()
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def worker(model_path: Path) -> Iterator[Line]:
    """One worker for all tests that leave it well."""
    with started_worker() as (line, _):
        line.send(Load(str(model_path), tuning=Tuning(context_tokens=512)))
        percents = []
        while isinstance(report := line.next((Progress, Ready)), Progress):
            percents.append(report.percent)
        assert percents == sorted(set(percents))
        assert percents[-1] == 100
        assert isinstance(report, Ready)
        assert (report.model, report.context_tokens, report.knows_tools) == (
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            512,
            False,
        )
        yield line


def test_a_job_is_answered(worker: Line) -> None:
    worker.send(Submit(Job(1, messages=[{"role": "user", "content": "Say hello."}], sampling=GREEDY, max_tokens=3)))
    assert worker.next(Started).prompt_tokens > 20  # type: ignore[union-attr]
    assert worker.next(Delta).text  # type: ignore[union-attr]
    assert worker.next(Finished) == Finished(1, 0, "length", 3)


def test_a_bad_job_fails_alone(worker: Line) -> None:
    worker.send(Submit(Job(2, prompt="x", schema="{")), Submit(Job(3, prompt="x", sampling=GREEDY, max_tokens=1)))
    failed = worker.next(Failed)
    assert isinstance(failed, Failed)
    assert (failed.job, failed.status, failed.param) == (2, 400, "response_format")
    assert worker.next(Finished) == Finished(3, 0, "length", 1)


def test_pings_are_answered_while_it_works_and_cancels_are_heeded(worker: Line) -> None:
    worker.send(Submit(Job(4, prompt="Once upon a time", sampling=GREEDY)))
    worker.next(Delta)
    worker.send(Ping())
    pong = worker.next(Pong)
    assert isinstance(pong, Pong)
    assert pong.busy
    worker.send(Cancel(4), Cancel(4), Cancel(99), Submit(Job(5, prompt="Hi", sampling=GREEDY, max_tokens=1)))
    assert worker.next(Finished) == Finished(5, 0, "length", 1)


def test_shutdown_and_hanging_up_end_it_in_peace(model_path: Path) -> None:
    assert model_path
    for farewell in ("shutdown", "hang up"):
        with started_worker() as (line, process):
            line.send(Load(str(model_path)))
            line.next(Progress)
            if farewell == "shutdown":
                line.send(Shutdown())
            else:
                line.hang_up()
            assert process.wait(10) == 0


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\1\0\0\0\xc1", pack(Ping())])
def test_whoever_does_not_speak_its_language_is_left(model_path: Path, data: bytes) -> None:
    assert model_path
    with started_worker() as (line, process):
        line.send_bytes(data)
        assert process.wait(10) == 1


@pytest.mark.parametrize("template", [None, "{% if %}"])
def test_a_model_that_cannot_be_used_is_refused(tmp_path: Path, model_path: Path, template: str | None) -> None:
    path = model_path
    if template is None:
        path = tmp_path / "broken.gguf"
        path.write_bytes(b"GGUF" + bytes(64))
    with started_worker() as (line, process):
        line.send(Load(str(path), tuning=Tuning(context_tokens=512), chat_template=template))
        refused = line.next(Refused)
        assert isinstance(refused, Refused)
        assert ("cannot load" if template is None else "does not parse") in refused.message
        assert process.wait(10) == 1


def test_it_dies_with_its_parent_even_when_the_socket_stays_open(model_path: Path) -> None:
    """A gateway that is killed -9 leaves no worker behind."""
    assert model_path
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
        line = Line(ours)
        line.send(Load(str(model_path)))
        line.next(Progress)
        parent.send_signal(signal.SIGKILL)
        import select  # noqa: PLC0415 - for this one wait

        assert select.select([watched], [], [], 10)[0] == [watched]
        os.close(watched)
