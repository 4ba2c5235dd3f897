"""Whose journal is whose: one folder per process, held by a file lock that ends with its process, however it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from gateway.state.locking import locked

if TYPE_CHECKING:
    from pathlib import Path

MOST_SLOTS: Final = 1024
_LOCK: Final = "lock"
_SUFFIX: Final = ".segment"


class Slot:
    """A folder that this process holds until `release`. Segments are named by number, in the order of their making."""

    def __init__(self, folder: Path, lock_fd: int) -> None:
        self.folder = folder
        self._lock_fd = lock_fd

    def segments(self) -> list[tuple[int, Path]]:
        """Oldest first."""
        return sorted((int(path.stem), path) for path in self.folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())

    def path_of(self, number: int) -> Path:
        return self.folder / f"{number:010d}{_SUFFIX}"

    def sync(self) -> None:
        """Make the names of the segments last through a power cut."""
        _sync(self.folder)

    def release(self) -> None:
        os.close(self._lock_fd)


def claim(folder: Path) -> Slot:
    """The first slot that no living process holds, what its last holder left included. Raises `OSError`."""
    for made in (folder.parent, folder):  # a folder made on the way to another has everybody's mode
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(MOST_SLOTS):
        slot = _hold(folder / str(number))
        if slot is not None:
            for made in (folder, folder.parent):
                _sync(made)
            return slot
    raise OSError(f"all {MOST_SLOTS} slots of the journal {folder} are taken")


def abandoned(folder: Path) -> list[Slot]:
    """Every slot with segments whose process is dead, held from here on; release each."""
    left = [path for path in folder.iterdir() if path.name.isdecimal() and any(path.glob(f"*{_SUFFIX}"))]
    return [slot for path in left if (slot := _hold(path)) is not None]


def _hold(folder: Path) -> Slot | None:
    """The slot, unless a living process has it: this one included, for a lock belongs to whoever opened the file."""
    folder.mkdir(mode=0o700, exist_ok=True)
    fd = locked(folder / _LOCK)
    return None if fd is None else Slot(folder, fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
