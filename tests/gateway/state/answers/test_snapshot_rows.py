from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec
import pytest

from gateway.state.answers.sealing import Sealing
from gateway.state.answers.snapshot_file import claim
from gateway.state.answers.snapshot_rows import LAST, SLICE_ROWS, Loaded, Rows
from gateway.state.answers.soundness import COUNT_MAX
from gateway.state.answers.store import Entry, Record, Used
from tests.answer_store_suite import OWNER, Asked, direction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_S = 1_800_000_000.0
ENTRY = Asked().entry(NOW_S)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    held = claim(tmp_path / "cache.db")
    assert held is not None
    with closing(held.open()) as opened:
        yield opened
    held.release()


def packed(entry: Entry, vector: bytes = b"") -> bytes:
    data = msgspec.msgpack.encode((entry, vector))
    return crc32(data).to_bytes(4) + data


def insert(connection: sqlite3.Connection, *row: object) -> None:
    connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)


@pytest.mark.parametrize("sealing", [None, Sealing(["a key of sixteen characters"])], ids=["plain", "sealed"])
def test_rows_are_read_newest_first_in_slices(connection: sqlite3.Connection, sealing: Sealing | None) -> None:
    rows = Rows(connection, sealing)
    entries = [Asked(str(number)).entry(NOW_S, f"ce_{number}") for number in range(SLICE_ROWS + 10)]
    rows.write({entry.id: Loaded(entry, Record(1, 2, 3)) for entry in entries}, {})
    first, before = rows.slice(LAST, NOW_S)
    second, end = rows.slice(before, NOW_S)
    assert end == 0
    assert [*first, *second] == [Loaded(entry, Record(1, 2, 3)) for entry in reversed(entries)]


def test_changes_are_written_all_at_once_or_not_at_all(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    rows.write({"ce_1": Loaded(ENTRY, Record()), "ce_2": None}, {"faq": b"1"})
    rows.write({"ce_1": Record(4, 5, 6), "ce_3": Record(1)}, {"faq": b"2"})
    assert rows.slice(LAST, NOW_S) == ([Loaded(ENTRY, Record(4, 5, 6))], 0)
    assert rows.learnt() == {"faq": b"2"}
    connection.execute("CREATE TEMP TRIGGER t BEFORE INSERT ON learnt BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.Error):
        rows.write({"ce_1": None}, {"faq": b"3"})
    assert rows.slice(LAST, NOW_S) == ([Loaded(ENTRY, Record(4, 5, 6))], 0)
    rows.close()


def test_what_cannot_be_written_keeps_nothing_else_from_it(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    bad = msgspec.structs.replace(ENTRY, id="ce_bad", question="\ud800")
    huge = msgspec.structs.replace(ENTRY, id="ce_huge", used=Used(cost_nanousd=1 << 70))
    rows.write({one.id: Loaded(one, Record(1 << 70)) for one in (bad, huge, ENTRY)}, {})
    (found,), _ = rows.slice(LAST, NOW_S)
    assert found == Loaded(ENTRY, Record(COUNT_MAX))


def test_vectors_are_kept(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    rows.write({"ce_1": Loaded(ENTRY, Record(), direction(1))}, {})
    ((_, _, vector),), _ = rows.slice(LAST, NOW_S)
    assert vector is not None
    assert float(vector @ direction(1)) == pytest.approx(1.0, abs=0.001)


def test_rows_that_no_gateway_wrote_are_passed_over(connection: sqlite3.Connection) -> None:
    other = msgspec.structs.replace(ENTRY, id="ce_2")
    until = NOW_S + 50.0
    insert(connection, "a", OWNER, until, packed(ENTRY), 0, 0, 0)
    insert(connection, "ce_1", "team:thief", until, packed(ENTRY), 0, 0, 0)
    insert(connection, "ce_2", OWNER, until, packed(other)[:-1] + b"?", 0, 0, 0)
    insert(connection, "ce_3", OWNER, until, "text", 0, 0, 0)
    insert(connection, "ce_4", OWNER, until, b"", 0, 0, 0)
    insert(connection, "ce_5", OWNER, until, crc32(b"\x90" * 9).to_bytes(4) + b"\x90" * 9, 0, 0, 0)
    insert(connection, "ce_6", OWNER, until, packed(msgspec.structs.replace(ENTRY, id="ce_6")), "many", 0, 0)
    insert(connection, "ce_7", OWNER, until, packed(msgspec.structs.replace(ENTRY, id="ce_7")), -1, 0, 0)
    insert(connection, "ce_8", OWNER, until, packed(msgspec.structs.replace(ENTRY, id="ce_8", exact=b"x")), 0, 0, 0)
    insert(connection, 9, b"owner", until, packed(ENTRY), 0, 0, 0)
    nested = b"\x91" * 100_000
    insert(connection, "ce_10", OWNER, until, crc32(nested).to_bytes(4) + nested, 0, 0, 0)
    insert(connection, "ce_ok", OWNER, until, packed(msgspec.structs.replace(ENTRY, id="ce_ok"), b"no vector"), 1, 0, 0)
    found, end = Rows(connection).slice(LAST, NOW_S)
    assert [(loaded.entry.id, loaded.record, loaded.vector) for loaded in found] == [("ce_ok", Record(1), None)]
    assert end == 0


def test_what_is_learnt_is_bounded(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.snapshot_rows.LEARNT_BYTES_MAX", 10)
    for name, state in (("a", b"1"), ("b", b"x" * 11), ("c", "text"), (b"d", b"1")):
        connection.execute("INSERT INTO learnt VALUES (?, ?)", (name, state))
    assert Rows(connection).learnt() == {"a": b"1"}


def test_what_expired_leaves(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    rows.write({"ce_1": Loaded(ENTRY, Record())}, {})
    rows.expire(ENTRY.expires_at_s - 1.0)
    assert connection.execute("SELECT count(*) FROM answers").fetchone() == (1,)
    rows.expire(ENTRY.expires_at_s)
    assert connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)
