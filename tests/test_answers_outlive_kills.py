"""A gateway's answers and the kill signal: whatever the instant, its file is whole, and lacks no more than a moment."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.snapshot import Snapshot
from tests.answer_store_suite import listed
from tests.answer_writer import entry_of

ROOT = Path(__file__).resolve().parent.parent


async def kill_and_look(path: Path, rng: random.Random, first: int) -> int:
    """A writer is killed at some instant; what it said was there is there, and nothing that it said was gone. The next
    number.
    """
    command = [sys.executable, "-m", "tests.answer_writer", str(path), str(first)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = [await process.stdout.readline()]
    await asyncio.sleep(rng.uniform(0.0, 0.25))
    process.send_signal(signal.SIGKILL)
    said += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    told = [line.split() for line in said if line.endswith(b"\n")]
    dropped = {int(number) for word, number in told if word == b"dropped"}
    written = max((int(number) for word, number in told if word == b"written"), default=first)
    store = InProcessAnswers(snapshot=Snapshot(path))
    await store.start()
    await store.loaded()
    found = {int(name.removeprefix("ce_")): kept.entry for name, kept in (await listed(store)).items()}
    await store.close()
    assert all(entry.body == entry_of(number) for number, entry in found.items())
    assert set(range(first, written + 1)) - dropped <= found.keys()
    assert not dropped & found.keys()
    last = max(found, default=first)
    assert len(set(range(first, last + 1)) - found.keys()) <= len(dropped) + 1  # nothing in between is missing
    return last + 1


async def killed_often(path: Path, times: int, seed: int) -> None:
    rng, number = random.Random(seed), 0
    for _ in range(times):
        number = await kill_and_look(path, rng, number)
    assert number > times * 50
    assert not path.with_name("cache.db.damaged").exists()


async def test_a_process_killed_at_any_instant_leaves_a_whole_file(tmp_path: Path) -> None:
    await killed_often(tmp_path / "cache.db", 10, 1)


@pytest.mark.slow
async def test_processes_killed_a_hundred_times_leave_a_whole_file(tmp_path: Path) -> None:
    await killed_often(tmp_path / "cache.db", 100, 2)
