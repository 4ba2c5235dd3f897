"""Copies of cells on a disk: written beside the engine, and read again when a worker begins.

They hold what callers wrote, so nobody else may read them, and what others could have written is not read. A file is
believed only where its checksum holds and it was made by the same model, adapter, build and settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import stat
import sys
import threading
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from gateway.local.scheduling.states import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

MAGIC: Final = b"PMSTATE1"
HEAD_BYTES_MAX: Final = 1 << 16
_LENGTH_BYTES, _DIGEST_BYTES = 4, 32
_ENDING, _UNFINISHED = ".state", ".part"
# Copies that wait to be written take memory beside the store's.
_PENDING_MAX: Final = 2
_NAME_MODEL, _NAME_TEXT = 16, 32


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a file says of itself; `made_by` is a fingerprint of all that its cells depend on beside the tokens."""

    made_by: str
    scope: str
    tokens: int
    cells: int
    state_bytes: int


class BrokenState(Exception):  # noqa: N818 - it names what is broken
    """A file that is no copy of ours, or a damaged one; the message says in what."""


class StateFolder:
    """`made_by` are fingerprints by adapter, with None for the model's own; files of others are left alone."""

    def __init__(self, folder: Path, made_by: Mapping[str | None, str], max_bytes: int) -> None:
        """Raises `OSError` where there can be no such folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._made_by = made_by
        self._prefix = made_by[None][:_NAME_MODEL]
        self._max_bytes = max_bytes
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pending = threading.Semaphore(_PENDING_MAX)
        self._last_problem = ""

    def start(self, add: Callable[[Kept], object]) -> None:
        """On a thread of its own, read what is there, then write what comes."""
        threading.Thread(target=self._work, args=(add,), daemon=True).start()

    def write(self, kept: Kept) -> None:
        """Left out where earlier ones are still being written."""
        if self._pending.acquire(blocking=False):
            self._orders.put(lambda: self._write(kept))

    def use(self, kept: Kept) -> None:
        self._orders.put(lambda: os.utime(self._path(kept)))

    def drop(self, kept: Kept) -> None:
        self._orders.put(lambda: self._path(kept).unlink(missing_ok=True))

    def read_all(self, add: Callable[[Kept], object]) -> None:
        """What is there of this model, those used last at the end."""
        room, found = self._max_bytes, []
        for path, size in self._files():
            room -= size
            if room >= 0:
                found.append(path)
        for path in reversed(found):
            try:
                add(self._read(path))
            except (BrokenState, OSError) as problem:
                self._tell(f"{path.name} is ignored: {problem}")

    def work_off(self) -> None:
        """Carry out what waits; for whoever has no thread for it."""
        while not self._orders.empty():
            self._carry_out(self._orders.get())

    def _work(self, add: Callable[[Kept], object]) -> None:
        self.read_all(add)
        while True:
            self._carry_out(self._orders.get())

    def _carry_out(self, order: Callable[[], None]) -> None:
        try:
            order()
        except FileNotFoundError:
            pass  # another process made room
        except OSError as problem:
            self._tell(f"prompts cannot be kept on the disk: {problem.strerror}")

    def _tell(self, problem: str) -> None:
        """Once, not with each of many copies that a full disk does not take."""
        if problem != self._last_problem:
            self._last_problem = problem
            sys.stderr.write(f"{problem}\n")

    def _path(self, kept: Kept) -> Path:
        text = hashlib.blake2b(kept.scope.encode() + b"\0" + kept.tokens.tobytes(), digest_size=_NAME_TEXT // 2)
        return self._folder / f"{self._prefix}-{text.hexdigest()}{_ENDING}"

    def _write(self, kept: Kept) -> None:
        try:
            made_by = self._made_by[adapter_of(kept.scope)]
            head = msgspec.msgpack.encode(Head(made_by, kept.scope, len(kept.tokens), kept.cells, kept.state.nbytes))
            parts = (MAGIC, len(head).to_bytes(_LENGTH_BYTES, "little"), head, kept.tokens, kept.state.data)
            path = self._path(kept)
            part = path.with_suffix(f".{os.getpid()}{_UNFINISHED}")
            try:
                _write_parts(part, parts)
                part.rename(path)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        finally:
            self._pending.release()
        self._make_room()

    def _make_room(self) -> None:
        """Other processes may write here too, so it is counted anew each time."""
        room = self._max_bytes
        for path, size in self._files():
            room -= size
            if room < 0:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[Path, int]]:
        """Those of this model with their sizes, the one used last first; without what a dead process left behind."""
        found = []
        for path in self._folder.glob(f"{self._prefix}-*"):
            with contextlib.suppress(OSError):
                about = path.lstat()
                if path.suffix == _ENDING:
                    found.append((about.st_mtime, path, about.st_size))
                elif path.suffix == _UNFINISHED and not _is_alive(path):
                    path.unlink()
        return [(path, size) for _, path, size in sorted(found, reverse=True)]

    def _read(self, path: Path) -> Kept:
        data = _own_bytes(path, self._max_bytes)
        start = len(MAGIC) + _LENGTH_BYTES
        if data[: len(MAGIC)].tobytes() != MAGIC:
            raise BrokenState("it is no kept prompt")
        length = int.from_bytes(data[len(MAGIC) : start].tobytes(), "little")
        if length > HEAD_BYTES_MAX:
            raise BrokenState("it is damaged")
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:].tobytes()
        if hashlib.blake2b(body.data, digest_size=_DIGEST_BYTES).digest() != digest:
            raise BrokenState("it is damaged")
        try:
            head = msgspec.msgpack.decode(body[start : start + length].tobytes(), type=Head)
        except msgspec.MsgspecError as problem:
            raise BrokenState("it is damaged") from problem
        at = start + length
        middle = at + head.tokens * array("i").itemsize
        if not 0 < head.tokens <= head.cells or middle + head.state_bytes != len(body):
            raise BrokenState("it is damaged")
        if head.made_by != self._made_by.get(adapter_of(head.scope)):
            raise BrokenState("it was made by another model, adapter or build, or with other settings")
        return Kept(head.scope, array("i", body[at:middle].tobytes()), head.cells, body[middle:])


def adapter_of(scope: str) -> str | None:
    """The adapter that cells of this scope were computed with."""
    return scope.partition("\0")[0] or None


def _write_parts(path: Path, parts: Iterable[bytes | array[int] | memoryview]) -> None:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        for part in parts:
            digest.update(part)
            file.write(part)
        file.write(digest.digest())


def _own_bytes(path: Path, most: int) -> NDArray[np.uint8]:
    """What is in a file that nobody else could have written or read. Raises `BrokenState`, and `OSError`."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise BrokenState("it is not a file that only this user can read and write")
        if not len(MAGIC) + _LENGTH_BYTES + _DIGEST_BYTES <= about.st_size <= most:
            raise BrokenState("it is damaged")
        data = np.empty(about.st_size, np.uint8)
        if file.readinto(data.data) != about.st_size:
            raise BrokenState("it became shorter while it was read")
    return data


def _is_alive(part: Path) -> bool:
    """Whether the process that writes it is there."""
    process = part.stem.rpartition(".")[2]
    return process.isdigit() and Path(f"/proc/{process}").exists()
