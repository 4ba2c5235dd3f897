"""A Unix socket that is one user's alone: where it is, whether somebody listens there, and how it is made."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

BESIDE_THE_KEY: Final = ".run/admin.sock"
"""Where `make run` has it, from the folder in which it was typed."""
_NOT_OTHERS: Final = 0o177
_WITHIN_S: Final = 1.0


def is_answered(path: Path) -> bool:
    """Whether somebody listens there: the socket of a process that was killed stays behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_WITHIN_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def inode_of(path: Path) -> int:
    """Which file it is, whatever may take its place."""
    return path.stat().st_ino


def take_away(path: Path, inode: int) -> None:
    """Unless another has taken its place."""
    with contextlib.suppress(OSError):
        if inode_of(path) == inode:
            path.unlink()


def is_own(path: Path) -> bool:
    """Whether it is a socket of this user's: in a folder of somebody else's there may be anything."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()


def bound(path: Path) -> socket.socket:
    """A new one, which nobody else may open from its first moment; one that was left behind goes. Raises `OSError`."""
    made, before = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), os.umask(_NOT_OTHERS)
    try:
        if is_own(path):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        made.bind(str(path))
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made
