from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StartError
from gateway.state.answers.snapshot_file import DamagedFile, Held, claim, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    found = claim(tmp_path / "cache.db")
    assert found is not None
    yield found
    found.release()


def test_a_file_is_one_s_until_it_is_released(tmp_path: Path) -> None:
    first, second = claim(tmp_path / "cache.db"), claim(tmp_path / "cache.db")
    assert first is not None
    assert second is not None
    assert (first.path.name, second.path.name) == ("cache.db", "cache.db.1")
    first.release()
    third = claim(tmp_path / "cache.db")
    assert third is not None
    assert third.path.name == "cache.db"
    second.release()
    third.release()


def test_a_file_has_its_name_once_it_is_whole(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("gateway.state.answers.snapshot_file._SCHEMA", ("CREATE TABLE answers (", "no SQL"))
        with pytest.raises(sqlite3.Error):
            held.open()
    assert not held.path.exists()
    held.open().close()
    assert held.path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(held.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_others_could_read_is_theirs_no_more(held: Held) -> None:
    held.open().close()
    held.path.chmod(0o644)
    held.open().close()
    assert held.path.stat().st_mode & 0o777 == 0o600


def test_what_a_file_leaves_that_is_gone_is_not_taken_for_a_part_of_the_next(held: Held) -> None:
    wal = held.path.with_name("cache.db-wal")
    with closing(held.open()) as connection:
        connection.execute("INSERT INTO learnt VALUES ('a', x'00')")
        left = wal.read_bytes()
    held.path.unlink()
    wal.write_bytes(left)
    with closing(held.open()) as connection:
        assert connection.execute("SELECT * FROM learnt").fetchall() == []


def test_what_is_set_aside_takes_the_place_of_what_was(held: Held) -> None:
    for content in (b"first", b"second"):
        held.path.write_bytes(content)
        with pytest.raises(DamagedFile):
            held.open()
        aside = held.set_aside()
        assert aside.read_bytes() == content
    assert not held.path.exists()
    held.open().close()
    held.delete()
    assert not held.path.exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "cache.db.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="cannot be used"):
        claim(tmp_path / "cache.db")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_CANTOPEN, False),
        (None, True),
    ],
)
def test_whose_fault_an_error_is(code: int | None, expected: bool) -> None:  # noqa: FBT001 - a column of a table
    error = sqlite3.DatabaseError("no")
    if code is not None:
        error.sqlite_errorcode = code
    assert is_damage(error) is expected
