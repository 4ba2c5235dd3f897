"""What this machine, or the container around us, has to compute with: from files, and from nvidia-smi where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SMI_S: Final = 10.0
SMI_FIELDS: Final = "name,memory.total,memory.free,driver_version"
_MIB: Final = 1 << 20
_KIB: Final = 1 << 10


class Card(NamedTuple):
    """A GPU as NVIDIA's driver tells of it."""

    name: str
    total_bytes: int
    free_bytes: int
    driver: str


class Machine(NamedTuple):
    """`cores` and `free_bytes` are what is left for us: within affinity, and within the container's limits."""

    cores: float
    total_bytes: int
    free_bytes: int
    limits: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()


def look(root: Path = Path("/")) -> Machine:
    """`root` is where /proc and /sys lie."""
    total, free = _memory(root)
    limits: list[str] = []
    for group in _groups(root):
        limit = _number(group / "memory.max")
        if limit is not None and limit < total:
            used = (_number(group / "memory.current") or 0) - _stat(group / "memory.stat", "inactive_file")
            free = min(free, max(0, limit - used))
            limits.append(f"memory {limit // _MIB} MiB")
    cores = float(_usable_cores())
    for group in _groups(root):
        share = _share(group / "cpu.max")
        if share is not None and share < cores:
            cores = share
            limits.append(f"CPU {share:g} cores")
    return Machine(cores, total, free, tuple(limits), cards())


def cards(command: str = "nvidia-smi") -> tuple[Card, ...]:
    """What nvidia-smi lists; nothing where there is none, or where it finds no driver."""
    program = shutil.which(command)
    if program is None:
        return ()
    query = [program, f"--query-gpu={SMI_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, timeout=SMI_S, check=False)  # noqa: S603 - the driver's own tool
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(_cards(done.stdout.decode(errors="replace"))) if done.returncode == 0 else ()


def _cards(text: str) -> Iterator[Card]:
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and parts[1].isdecimal() and parts[2].isdecimal():
            yield Card(parts[0], int(parts[1]) * _MIB, int(parts[2]) * _MIB, parts[3])


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(root: Path) -> tuple[int, int]:
    """All of it, and what may be had without swapping."""
    known = {name: _stat(root / "proc/meminfo", f"{name}:") * _KIB for name in ("MemTotal", "MemAvailable")}
    if known["MemTotal"]:
        return known["MemTotal"], known["MemAvailable"]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total, total


def _groups(root: Path) -> Iterator[Path]:
    """Our control group (version 2) and those around it, as far as they can be seen from here."""
    top = root / "sys/fs/cgroup"
    own = next((line[3:] for line in _text(root / "proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    group = top / own.strip().lstrip("/")
    if ".." in group.parts or not group.is_dir():
        group = top
    while group != top:
        yield group
        group = group.parent
    yield top


def _share(path: Path) -> float | None:
    quota, _, period = _text(path).strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _stat(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
