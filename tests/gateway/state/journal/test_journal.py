from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.journal import journal as journal_module
from gateway.state.journal.journal import Journal
from gateway.state.journal.replay import Replay, rows_of
from gateway.state.journal.slots import Slot, claim
from gateway.state.ledger.schema import LARGEST
from policies.usage import Usage
from tests.gateway.calls import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.state.ledger.schema import LedgerRow


def rows(count: int) -> list[LedgerRow]:
    return [row for _ in range(count) for row in ledger_rows(settle(answered(Usage(3, 4))))]


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    made = claim(tmp_path)
    yield made
    made.release()


class Disk:
    """Takes so many bytes more and then says that it is full."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes

    def write(self, fd: int, data: bytes) -> int:
        if not self.room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, data[: self.room_bytes])
        self.room_bytes -= written
        return written


def started(slot: Slot, disk: Disk | None = None, most_bytes: int = 1 << 28) -> Journal:
    journal = Journal(slot, most_bytes, disk.write if disk is not None else None)
    journal.start()
    until(lambda: journal._spare is not None or disk is not None)
    return journal


def until(holds: Callable[[], bool]) -> None:
    """Lets the journal's thread get on with it."""
    pause = threading.Event()
    for _ in range(2_000):
        if holds():
            return
        pause.wait(0.002)
    raise AssertionError("it never came true")


def read(slot: Slot) -> tuple[list[LedgerRow], Replay]:
    replay = Replay([path for _, path in slot.segments()])
    return list(replay.rows()), replay


def test_intents_stand_until_their_outcomes_come(slot: Slot) -> None:
    journal = started(slot)
    one, other = rows(2)
    journal.intend(one)
    journal.intend(other)
    ended = other._replace(output_tokens=77)
    journal.add([ended])
    assert journal.open_intents == 1
    journal.close()
    found, replay = read(slot)
    assert found == [ended, one]
    assert (replay.outcomes, replay.unknown) == (1, 1)


def test_it_is_on_disk_before_intend_returns(slot: Slot) -> None:
    journal = started(slot)
    (row,) = rows(1)
    journal.intend(row)
    assert read(slot)[0] == [row]
    journal.close()


def test_an_extent_says_where_the_rows_lie(slot: Slot) -> None:
    journal = started(slot)
    first, second = rows(3), rows(2)
    for row in first + second:
        journal.intend(row)
    journal.add(first)
    extent = journal.add(second)
    assert extent is not None
    assert rows_of(slot, extent) == second
    journal.close()


def test_a_journal_whose_rows_are_all_committed_leaves_nothing(slot: Slot) -> None:
    journal = started(slot)
    written = rows(3)
    journal.intend(written[0])
    journal.add(written)
    journal.committed(3)
    journal.close()
    assert slot.segments() == []


def test_it_goes_on_in_a_new_segment_and_deletes_what_is_done(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 4_000)
    journal = started(slot)
    (still_open,) = rows(1)
    journal.intend(still_open)
    written = rows(60)
    for row in written:
        until(lambda: journal._spare is not None)
        journal.intend(row)
        journal.add([row])
    assert len(slot.segments()) > 3
    journal.committed(60)
    until(lambda: len(slot.segments()) <= 2)
    until(lambda: journal.bytes_on_disk < 6_000)
    found, _ = read(slot)
    assert found[-1] == still_open
    journal.close()
    assert read(slot)[0][-1] == still_open


def test_segments_with_rows_that_are_not_committed_stay(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 4_000)
    journal = started(slot)
    written = rows(60)
    for done, row in enumerate(written):
        until(lambda: journal._spare is not None)
        journal.add([row])
        journal.committed(done // 2)
    journal.close()
    found, _ = read(slot)
    assert found[-30:] == written[-30:]


def test_a_full_disk_is_no_error_and_over_when_there_is_room(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "PROBE_EVERY_S", 0.002)
    disk = Disk(1_000)
    journal = started(slot, disk)
    first, second = rows(2), rows(20)
    journal.intend(first[0])
    assert journal.takes
    assert journal.add(second) is None
    journal.intend(first[1])
    assert not journal.takes
    assert journal.failures > 0
    assert journal.last_error is not None
    failures = journal.failures
    until(lambda: journal.failures > failures)  # it keeps trying
    disk.room_bytes = 1 << 30
    until(lambda: journal._is_probed)
    third = rows(1)
    assert journal.add(third) is not None
    assert journal.takes
    assert journal.last_error is None
    journal.close()
    found, replay = read(slot)
    assert replay.damaged_bytes == 0  # what the disk took of a frame was taken back
    assert sorted(found) == sorted(third + first)


def test_it_stops_at_its_bound_and_goes_on_once_rows_are_committed(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 4_000)
    monkeypatch.setattr(journal_module, "PROBE_EVERY_S", 0.002)
    monkeypatch.setattr(journal_module, "PROBE_BYTES", 100)
    journal = started(slot, most_bytes=20_000)
    handed_over = 0
    while journal.takes:
        handed_over += 1
        journal.add(rows(1))
        assert handed_over < 1_000
    assert journal.bytes_on_disk < 25_000
    assert journal.last_error is not None
    assert "20000 bytes" in journal.last_error
    journal.committed(handed_over)
    until(lambda: journal._is_probed)
    assert journal.add(rows(1)) is not None
    assert journal.takes
    journal.close()


def test_what_no_frame_can_hold_is_made_fit(slot: Slot) -> None:
    journal = started(slot)
    one, bad, other = rows(3)
    journal.intend(bad._replace(model_requested="\ud800"))
    assert read(slot)[0][0].request_id == bad.request_id
    journal.add([one, bad._replace(input_tokens=2**80), other])
    journal.close()
    assert read(slot)[0] == [one, bad._replace(input_tokens=LARGEST), other]


def test_a_closed_journal_writes_to_no_file(slot: Slot, tmp_path: Path) -> None:
    journal = started(slot)
    closed = journal._fd
    journal.close()
    with (tmp_path / "another's").open("wb", buffering=0) as file:
        if file.fileno() != closed:
            os.dup2(file.fileno(), closed)
        journal.intend(rows(1)[0])
        assert journal.add(rows(2)) is None
        if file.fileno() != closed:
            os.close(closed)
    assert (tmp_path / "another's").read_bytes() == b""


def test_a_later_start_begins_a_segment_of_its_own(slot: Slot) -> None:
    written = rows(2)
    for row in written:
        journal = started(slot)
        journal.add([row])
        journal.close()
    assert journal.left_behind == [slot.path_of(1)]
    assert read(slot)[0] == written


CHILD = """
import resource, signal, sys
from pathlib import Path
from gateway.state.journal.journal import Journal
from gateway.state.journal.slots import claim
from tests.gateway.state.journal.test_journal import rows
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
journal = Journal(claim(Path(sys.argv[1])))
journal.start()
for row in rows(40):
    journal.intend(row)
print(journal.takes, journal.failures, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while not journal._is_probed:
    pass
journal.add(rows(1))
print(journal.takes, flush=True)
sys.stdin.read()
"""


def test_a_process_that_met_a_real_limit_and_was_killed_left_all_that_was_open(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE
    root = journal_module.__file__.rsplit("/", 4)[0]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        takes, failures = process.stdout.readline().split()
        assert takes == b"False"
        assert int(failures) >= 1
        assert process.stdout.readline() == b"True\n"
        process.kill()
    slot = claim(tmp_path)
    found, replay = read(slot)
    assert (replay.outcomes, replay.unknown, replay.damaged_bytes) == (1, 40, 0)
    assert len(found) == 41
    slot.release()
