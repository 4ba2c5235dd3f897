"""What a machine has is read from its files, and a container's limits count before its host's plenty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway import machine
from gateway.machine import Card, look

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
MEMINFO = f"MemTotal:       {16 * GIB // 1024} kB\nMemFree: 5 kB\nMemAvailable:   {12 * GIB // 1024} kB\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 cores and 16 GiB, 12 of them free, with no GPU."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/a/b").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(machine, "cards", lambda: ())
    return tmp_path


def test_without_limits_all_that_is_free_is_ours(root: Path) -> None:
    assert look(root) == machine.Machine(8.0, 16 * GIB, 12 * GIB)


def test_limits_hold_of_our_group_and_of_those_around_it(root: Path) -> None:
    groups = root / "sys/fs/cgroup"
    (groups / "a/b/memory.max").write_text("max\n")
    (groups / "a/memory.max").write_text(f"{4 * GIB}\n")
    (groups / "a/memory.current").write_text(f"{3 * GIB}\n")
    (groups / "a/memory.stat").write_text(f"anon 1\ninactive_file {2 * GIB}\n")
    (groups / "a/b/cpu.max").write_text("150000 100000\n")
    found = look(root)
    # What was read from files and is not in use may be thrown out for us.
    assert (found.cores, found.free_bytes) == (1.5, 3 * GIB)
    assert found.limits == ("memory 4096 MiB", "CPU 1.5 cores")


@pytest.mark.parametrize("own", ["0::/../../elsewhere\n", "0::/not/there\n", "", "12:cpu:/a\n"])
def test_a_group_that_cannot_be_seen_is_the_top(root: Path, own: str) -> None:
    (root / "proc/self/cgroup").write_text(own)
    (root / "sys/fs/cgroup/memory.max").write_text(f"{GIB}\n")
    assert look(root).free_bytes == GIB


def test_files_that_say_nonsense_say_nothing(root: Path) -> None:
    (root / "sys/fs/cgroup/a/b/memory.max").write_text("-1 of them")
    (root / "sys/fs/cgroup/a/b/cpu.max").write_text("100000 0")
    assert look(root).limits == ()


def test_without_proc_the_system_is_asked(tmp_path: Path) -> None:
    assert look(tmp_path).total_bytes > 0


def test_this_machine_has_something() -> None:
    found = look()
    assert found.cores >= 0.01
    assert 0 < found.free_bytes <= found.total_bytes


def script(folder: Path, text: str) -> str:
    path = folder / "smi"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_cards_are_what_the_driver_lists(tmp_path: Path) -> None:
    smi = script(tmp_path, "echo 'NVIDIA H100 80GB HBM3, 81559, 81008, 580.1'; echo 'broken, [N/A], 1, 2'; echo")
    assert machine.cards(smi) == (Card("NVIDIA H100 80GB HBM3", 81559 << 20, 81008 << 20, "580.1"),)


@pytest.mark.parametrize("text", ["exit 9", "echo nothing of the kind"])
def test_a_driver_that_is_not_well_lists_none(tmp_path: Path, text: str) -> None:
    assert machine.cards(script(tmp_path, text)) == ()


def test_without_the_drivers_tool_there_are_no_cards() -> None:
    assert machine.cards("no-such-tool-of-any-driver") == ()
