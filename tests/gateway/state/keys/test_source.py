from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.state.keys.records import Changes, Org
from gateway.state.keys.source import KeySource, revision_in_file
from gateway.state.ledger.schema import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Feed:
    """What a source opens."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.noted: list[Mapping[str, int]] = []

    async def changes(self, since: int | None, at_most: int) -> Changes | None:
        self.asked.append(since)
        return Changes(at_most, whole=True, had_keys=True, keys=[], orgs=[])

    async def note_use(self, used: Mapping[str, int]) -> None:
        self.noted.append(used)


def not_opened() -> Feed:
    raise AssertionError


def written(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def ledger(path: Path, revision: int) -> Path:
    insert = f"INSERT INTO key_changes VALUES (1, {revision})"  # noqa: S608 - a number
    return written(path, "CREATE TABLE key_changes (only_one, revision)", insert)


@pytest.mark.parametrize("kind", ["missing", "empty", "of before there were keys", "unchanged"])
async def test_without_keys_nothing_is_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    if kind == "empty":
        path.touch()
    elif kind == "of before there were keys":
        written(path, "CREATE TABLE attempts (id)")
    elif kind == "unchanged":
        ledger(path, 0)
    source = KeySource(path, not_opened)
    assert await source.changes(None, 10) == Changes(0, whole=True, had_keys=False, keys=[], orgs=[Org(name="default")])
    assert await source.changes(0, 10) is None


async def test_what_has_not_changed_is_not_opened_and_what_has_is(tmp_path: Path) -> None:
    path = ledger(tmp_path / "ledger.db", 7)
    assert await KeySource(path, not_opened).changes(7, 10) is None
    feed = Feed()
    source = KeySource(path, lambda: feed)
    await source.changes(6, 10)
    await source.changes(None, 10)
    await source.changes(9, 10)
    await source.note_use({"a": 1})
    assert feed.asked == [6, None, 9]
    assert feed.noted == [{"a": 1}]


async def test_elsewhere_than_in_a_file_the_feed_is_always_asked() -> None:
    feed = Feed()
    await KeySource(None, lambda: feed).changes(3, 10)
    assert feed.asked == [3]


@pytest.mark.parametrize("content", [b"not a database, whatever it says" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_file_that_cannot_be_read_is_no_file_without_keys(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be read"):
        revision_in_file(path)


def test_a_ledger_whose_revision_is_gone_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "ledger.db", "CREATE TABLE key_changes (only_one, revision)")
    with pytest.raises(LedgerError):
        revision_in_file(path)


def test_asking_a_file_needs_no_library() -> None:
    program = "import gateway.state.keys.source, gateway.keys.service, sys; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
