from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.state.journal import slots as journal_slots
from gateway.state.journal.slots import abandoned, claim

if TYPE_CHECKING:
    from pathlib import Path


def test_each_claim_gets_a_slot_of_its_own(tmp_path: Path) -> None:
    one, other = claim(tmp_path / "j"), claim(tmp_path / "j")
    assert one.folder != other.folder
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    one.release()
    again = claim(tmp_path / "j")
    assert again.folder == one.folder
    other.release()
    again.release()


def test_segments_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    slot = claim(tmp_path)
    for number in (10, 9, 100):
        slot.path_of(number).touch()
    (slot.folder / "notes.segment").touch()
    slot.path_of(9).with_suffix(".damaged").touch()
    assert [number for number, _ in slot.segments()] == [9, 10, 100]
    slot.sync()
    slot.release()


def test_only_the_dead_ones_slots_with_segments_are_abandoned(tmp_path: Path) -> None:
    mine, dead, empty = claim(tmp_path), claim(tmp_path), claim(tmp_path)
    for slot in (mine, dead):
        slot.path_of(1).touch()
    (tmp_path / "lost+found").mkdir()
    dead.release()
    empty.release()
    (found,) = abandoned(tmp_path)
    assert found.folder == dead.folder
    assert abandoned(tmp_path) == []
    found.release()
    mine.release()


def test_a_slot_is_free_once_its_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from gateway.state.journal.slots import claim;"
        "slot = claim(Path(sys.argv[1])); print(slot.folder.name, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        beside = claim(tmp_path)
        assert beside.folder.name == "1"
        process.kill()
        process.wait()
    freed = claim(tmp_path)
    assert freed.folder.name == "0"
    freed.release()
    beside.release()


def test_there_is_an_end_to_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_slots, "MOST_SLOTS", 1)
    slot = claim(tmp_path)
    with pytest.raises(OSError, match="all 1 slots"):
        claim(tmp_path)
    slot.release()


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    with pytest.raises(OSError, match="exists"):
        claim(tmp_path)
