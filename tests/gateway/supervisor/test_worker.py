from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StartError
from gateway.supervisor.place import Place
from gateway.supervisor.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

OBEDIENT = "import sys; print('ready', flush=True); sys.stdin.read()"
STUBBORN = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
BROKEN = "import sys; sys.exit(2)"


def worker(folder: Path, script: str) -> Worker:
    return Worker(Place(1, 8080, folder / "1.sock"), [sys.executable, "-c", script])


async def test_a_worker_is_ready_when_it_says_so(tmp_path: Path) -> None:
    one = worker(tmp_path, OBEDIENT)
    assert one.pid is None
    await one.start()
    assert one.is_ready
    assert one.pid is not None
    one.stop()
    await one.ended(5.0)
    assert not one.is_ready
    assert one.pid is None


async def test_one_that_does_not_come_up_is_an_error_with_its_code(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"worker 1 did not start \(exit code 2\)"):
        await worker(tmp_path, BROKEN).start()


async def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    one = worker(tmp_path, OBEDIENT)
    await one.start()
    first = one.pid
    watching = asyncio.create_task(one.watch())
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10.0):
        while one.restarts == 0 or not one.is_ready:  # noqa: ASYNC110 - another process has to come up
            await asyncio.sleep(0.01)
    assert one.pid not in (None, first)
    one.stop()
    await one.ended(5.0)
    await asyncio.wait_for(watching, 5.0)
    assert one.restarts == 1


async def test_one_that_is_told_to_stop_is_not_started_again(tmp_path: Path) -> None:
    one = worker(tmp_path, OBEDIENT)
    await one.start()
    watching = asyncio.create_task(one.watch())
    one.stop()
    await asyncio.wait_for(watching, 5.0)
    assert one.restarts == 0


async def test_one_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    one = worker(tmp_path, STUBBORN)
    await one.start()
    one.stop()
    await asyncio.wait_for(one.ended(0.05), 5.0)
    assert one.pid is None


async def test_a_stale_socket_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "1.sock").touch()
    one = worker(tmp_path, OBEDIENT)
    await one.start()
    assert not (tmp_path / "1.sock").exists()
    one.stop()
    await one.ended(5.0)
