from __future__ import annotations

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import Job, Started
from gateway.local.frames import Load, Progress, Ready, Submit
from gateway.local.serving.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.frames import Report

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


@pytest.fixture
def starter() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as starter:
        yield starter


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one number


def fake_workers() -> list[str]:
    """Children of this process, on whichever thread."""
    children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [pid for pid in children if "fake_worker" in Path(f"/proc/{pid}/cmdline").read_text()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_worker_reports_and_leaves_nothing_behind(starter: ThreadPoolExecutor) -> None:
    heard: list[Report] = []
    ready = asyncio.Event()

    def hear(reports: list[Report]) -> None:
        heard.extend(reports)
        if isinstance(reports[-1], Ready):
            ready.set()

    starter.submit(open_files).result()
    before = open_files()
    worker = await WorkerProcess.spawn([*FAKE, "good"], hear, starter)
    worker.send(Load("m"))
    await asyncio.wait_for(ready.wait(), 10)
    assert heard[0] == Progress(50)
    assert os.getpgid(worker.pid) == worker.pid
    worker.kill("the test is over")
    await asyncio.wait_for(worker.gone.wait(), 5)
    assert await worker.reap() == "the test is over"
    await asyncio.sleep(0)
    assert not is_alive(worker.pid)
    assert open_files() <= before  # what other tests left open may be closed meanwhile


async def test_a_worker_learns_no_secret_of_the_gateways(
    starter: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary@h/d")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    worker = await WorkerProcess.spawn([*FAKE, "good"], lambda _: None, starter)
    known = await asyncio.to_thread(Path(f"/proc/{worker.pid}/environ").read_bytes)
    assert b"canary" not in known
    assert b"CUDA_VISIBLE_DEVICES=1" in known
    assert b"GGML_NO_BACKTRACE=1" in known
    worker.kill("the test is over")
    await worker.reap()


async def test_death_is_noticed_and_explained(starter: ThreadPoolExecutor) -> None:
    worker = await WorkerProcess.spawn([*FAKE, "dies loading"], lambda _: None, starter)
    worker.send(Load("m"))
    await asyncio.wait_for(worker.gone.wait(), 10)
    assert await worker.reap() == "exit code 3; its last words: out of memory"
    worker.send(Load("m"))


@pytest.mark.parametrize("mode", ["garbage", "noisy garbage"])
async def test_garbage_ends_a_worker(starter: ThreadPoolExecutor, mode: str) -> None:
    worker = await WorkerProcess.spawn([*FAKE, mode], lambda _: None, starter)
    worker.send(Load("m"))
    worker.send(Submit(Job(1, prompt="x")))
    await asyncio.wait_for(worker.gone.wait(), 10)
    assert (await worker.reap()).startswith("it sent garbage")
    assert not is_alive(worker.pid)


async def test_last_words_are_the_last_and_few(starter: ThreadPoolExecutor) -> None:
    ready = asyncio.Event()
    worker = await WorkerProcess.spawn([*FAKE, "noisy"], lambda _: ready.set(), starter)
    worker.send(Load("m"))
    await asyncio.wait_for(ready.wait(), 10)
    worker.kill("enough")
    ending = await worker.reap()
    assert ending.endswith("line | line")
    assert len(ending) < 2100


async def test_a_killed_worker_names_its_signal(starter: ThreadPoolExecutor) -> None:
    worker = await WorkerProcess.spawn([*FAKE, "good"], lambda _: None, starter)
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.wait_for(worker.gone.wait(), 5)
    assert await worker.reap() == "signal 9"


async def test_a_cancelled_start_leaves_no_process(starter: ThreadPoolExecutor) -> None:
    starting = asyncio.create_task(WorkerProcess.spawn([*FAKE, "good"], lambda _: None, starter))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert fake_workers() == []


async def test_a_command_that_does_not_exist_is_an_os_error(starter: ThreadPoolExecutor) -> None:
    with pytest.raises(OSError, match="no-such-program"):
        await WorkerProcess.spawn(["/no-such-program"], lambda _: None, starter)


async def test_what_a_worker_said_before_it_died_is_heard_though_a_write_to_it_fails_first(
    starter: ThreadPoolExecutor,
) -> None:
    heard: list[Report] = []
    ready = asyncio.Event()

    def hear(reports: list[Report]) -> None:
        heard.extend(reports)
        if isinstance(reports[-1], Ready):
            ready.set()

    worker = await WorkerProcess.spawn([*FAKE, "dies started"], hear, starter)
    worker.send(Load("m"))
    await asyncio.wait_for(ready.wait(), 10)
    worker.send(Submit(Job(1, prompt="x")))
    # Dead, while this loop has read nothing of it.
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it is to block
    worker.send(Submit(Job(2, prompt="x")))
    await asyncio.wait_for(worker.gone.wait(), 10)
    assert Started(1, 3, 0) in heard
    assert "signal 6" in await worker.reap()
