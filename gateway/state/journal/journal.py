"""The write-ahead journal: what is about to be sent and what came of it, on disk before SQL hears of it.

A frame is written with one system call and lies in the page cache from then on, so it outlives a killed process; a
thread syncs every 20 ms, so a power cut takes at most that. The event loop only ever writes to a file that the thread
has opened before. A full or failing disk does not stop the loop: the journal says that it takes nothing, and the thread
finds out when it does again.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.journal.frames import HEADING, intent_frame, outcome_frame
from gateway.state.ledger.schema import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.state.journal.slots import Slot
    from gateway.state.ledger.schema import LedgerRow

log = logging.getLogger(__name__)

SYNC_EVERY_S: Final = 0.02
PROBE_EVERY_S: Final = 0.5
PROBE_BYTES: Final = 1 << 16
SEGMENT_BYTES: Final = 1 << 22
MOST_BYTES: Final = 1 << 28

AttemptKey = tuple[str, int]


class Extent(NamedTuple):
    """Where rows lie in the journal: bytes `start` to `end` of a segment, `rows` outcomes in them."""

    segment: int
    start: int
    end: int
    rows: int


class Segment(NamedTuple):
    """A file that was written to; it can go once the first `mark` rows are in SQL."""

    number: int
    fd: int
    size: int
    mark: int


class Journal:
    """One process's journal. `intend` and `add` belong to the event loop, the rest to threads."""

    def __init__(
        self, slot: Slot, most_bytes: int = MOST_BYTES, write: Callable[[int, bytes], int] | None = None
    ) -> None:
        self.last_error: str | None = None
        self.failures = 0
        self.left_behind: list[Path] = []
        self._slot = slot
        self._most_bytes = most_bytes
        self._segment_bytes = min(SEGMENT_BYTES, most_bytes // 4)
        self._write = os.write if write is None else write
        self._open: dict[AttemptKey, bytes] = {}
        self._fd = -1
        self._number = 0
        self._size = 0
        self._is_stuck = False
        self._is_probed = False
        self._handed_over = 0
        self._committed = 0
        self._spare: tuple[int, int] | None = None
        self._retired: deque[Segment] = deque()
        self._sealed: deque[Segment] = deque()
        self._retired_bytes = 0
        self._deleted_bytes = 0
        self._work = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def takes(self) -> bool:
        """False while the disk takes nothing, or the journal has all the bytes that it may have."""
        return not self._is_stuck

    @property
    def bytes_on_disk(self) -> int:
        return self._size + self._retired_bytes - self._deleted_bytes

    @property
    def open_intents(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Begin a segment after those that the slot has. Raises `OSError`."""
        taken = self._slot.segments()
        self.left_behind = [path for _, path in taken]
        self._number, self._fd = self._create(taken[-1][0] + 1 if taken else 1)
        self._size = len(HEADING)
        self._work.set()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # -- the event loop's side ---------------------------------------------------------------------------------------

    def intend(self, row: LedgerRow) -> None:
        """The row as it is to stand if no outcome ever comes."""
        try:
            frame = intent_frame(row)
        except (OverflowError, UnicodeError):
            frame = intent_frame(storable(row))
        self._open[row[0], row[1]] = frame
        self._append(frame)

    def add(self, rows: Sequence[LedgerRow]) -> Extent | None:
        """Write outcomes down; where they lie, or None where they could not be written."""
        try:
            data = b"".join(map(outcome_frame, rows))
        except (OverflowError, UnicodeError):
            data = b"".join(outcome_frame(storable(row)) for row in rows)
        forget = self._open.pop
        for row in rows:
            forget((row[0], row[1]), None)
        self._handed_over += len(rows)
        if not self._append(data):
            return None
        return Extent(self._number, self._size - len(data), self._size, len(rows))

    def _append(self, data: bytes) -> bool:
        if self._is_stuck or self._size >= self._segment_bytes:
            self._go_on()
        if self._is_stuck or not self._put(self._fd, data, self._size):
            return False
        self._size += len(data)
        if not self._work.is_set():
            self._work.set()
        return True

    def _go_on(self) -> None:
        """In the next segment where there is one; else in this one, as long as all of them are small enough."""
        if self._spare is not None and (self._is_probed or not self._is_stuck):
            self._rotate(*self._spare)
        elif not self._is_stuck and self.bytes_on_disk >= self._most_bytes:
            self._get_stuck(f"the journal has reached its {self._most_bytes} bytes")

    def _rotate(self, number: int, fd: int) -> None:
        """Go on in the spare segment, which begins with what is still open, so that older ones need not be kept."""
        carried = b"".join(self._open.values())
        if carried and not self._put(fd, carried, len(HEADING)):
            return
        self._retired.append(Segment(self._number, self._fd, self._size, self._handed_over))
        self._retired_bytes += self._size
        self._number, self._fd, self._size = number, fd, len(HEADING) + len(carried)
        self._spare = None
        if self._is_stuck:
            self._is_stuck = self._is_probed = False
            self.last_error = None
            log.info("the journal %s is written again", self._slot.folder)
        self._work.set()

    def _put(self, fd: int, data: bytes, size: int) -> bool:
        """Write all of `data` at the end of a file of `size` bytes, or none of it."""
        try:
            written = self._write(fd, data)
        except OSError as error:
            self._get_stuck(str(error))
            return False
        if written != len(data):
            with suppress(OSError):  # else a torn frame stays, which replay finds and reports
                os.ftruncate(fd, size)
            self._get_stuck("the disk took only a part")
            return False
        return True

    def _get_stuck(self, why: str) -> None:
        self.failures += 1
        if not self._is_stuck:
            log.error("the journal %s takes nothing, rows wait in memory: %s", self._slot.folder, why)
        self.last_error = why
        self._is_stuck, self._is_probed = True, False
        self._work.set()

    # -- what the ledger's writer tells ------------------------------------------------------------------------------

    def committed(self, rows: int) -> None:
        """So many rows are in SQL, in the order in which they were handed over."""
        self._committed = rows
        if self._sealed:
            self._work.set()

    def close(self) -> None:
        """Sync, and delete what nobody needs any more. Blocks."""
        if self._thread is not None:
            self._closing.set()
            self._work.set()
            self._thread.join()
            self._thread = None
            self._is_stuck, self._spare = True, None  # the files' numbers may be others' from now on

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            self._work.wait()
            self._work.clear()
            self._look_after_files()
            self._closing.wait(PROBE_EVERY_S if self._is_stuck else SYNC_EVERY_S)
            if self._is_stuck:
                self._work.set()
        self._finish()

    def _look_after_files(self) -> None:
        try:
            self._seal_and_delete()
            if not self._is_stuck:
                os.fdatasync(self._fd)
            # One more is always allowed after the last: what is open may by itself be more than `most_bytes`.
            has_room = not self._sealed or self.bytes_on_disk + self._segment_bytes <= self._most_bytes
            if self._spare is None and has_room:
                self._spare = self._create(self._number + 1)
            if self._is_stuck and self._spare is not None and not self._is_probed:
                self._probe(self._spare[1])
        except OSError as error:
            self._get_stuck(str(error))

    def _seal_and_delete(self) -> None:
        while self._retired:
            segment = self._retired.popleft()
            self._sealed.append(segment)
            with suppress(OSError):  # what could not be synced is in SQL soon, or in memory
                os.fdatasync(segment.fd)
            os.close(segment.fd)
        while self._sealed and self._sealed[0].mark <= self._committed:
            segment = self._sealed.popleft()
            self._slot.path_of(segment.number).unlink(missing_ok=True)
            self._deleted_bytes += segment.size

    def _create(self, number: int) -> tuple[int, int]:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        path = self._slot.path_of(number)
        fd = os.open(path, flags, 0o600)
        try:
            write_heading(fd)
            self._slot.sync()
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return number, fd

    def _probe(self, fd: int) -> None:
        """Find out whether the disk takes a fair amount again, before the event loop relies on it."""
        try:
            self._is_probed = self._write(fd, bytes(PROBE_BYTES)) == PROBE_BYTES
        finally:
            os.ftruncate(fd, len(HEADING))

    def _finish(self) -> None:
        self._seal_and_delete()
        with suppress(OSError):
            os.fdatasync(self._fd)
        os.close(self._fd)
        if self._spare is not None:
            os.close(self._spare[1])
            self._slot.path_of(self._spare[0]).unlink(missing_ok=True)
        if not self._sealed and not self._open and self._committed == self._handed_over:
            self._slot.path_of(self._number).unlink(missing_ok=True)


def write_heading(fd: int) -> None:
    """Raises `OSError` where the disk does not take all of it."""
    if os.write(fd, HEADING) != len(HEADING):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
