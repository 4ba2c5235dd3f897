from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.errors import StartError
from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.sealing import Sealing
from gateway.state.answers.snapshot import Snapshot
from gateway.state.answers.snapshot_rows import Loaded, Rows
from gateway.state.answers.store import Kept, Record, Which
from policies.cache_eviction import Bounds
from policies.cache_rules import Level
from tests.answer_store_suite import OTHER, OWNER, TTL_S, Asked, beside, direction, listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

NOW_S = 1_800_000_000.0
KEY = "an operator's key of any length"


@asynccontextmanager
async def opened(
    path: Path, *, keys: Sequence[str] = (), bounds: Bounds | None = None, now_s: float = NOW_S, loads: bool = True
) -> AsyncIterator[InProcessAnswers]:
    """A gateway's store over the file, from its start to its end."""
    snapshot = Snapshot(path, Sealing(keys) if keys else None, lambda: now_s, every_s=0.01)
    store = InProcessAnswers(bounds, lambda: now_s, snapshot)
    await store.start()
    try:
        if loads:
            await store.loaded()
        yield store
    finally:
        await store.close()


async def fill(path: Path, count: int, keys: Sequence[str] = ()) -> None:
    async with opened(path, keys=keys) as store:
        for number in range(count):
            await store.keep(Asked(str(number)).entry(NOW_S, f"ce_{number}"), None)


def names(count: int) -> set[str]:
    return {f"ce_{number}" for number in range(count)}


async def test_the_next_process_has_what_the_last_one_had(tmp_path: Path) -> None:
    asked, vector = Asked(), direction(1)
    async with opened(tmp_path / "cache.db") as store:
        await store.keep(asked.entry(NOW_S), vector)
        await store.keep(Asked("other", owner=OTHER).entry(NOW_S, "ce_2", tags=("t",)), None)
        found = await store.get("ce_1")
        assert found is not None
        store.note(found, hits=3, good=2, bad=1)
        await store.remember("faq", b"learnt")
    async with opened(tmp_path / "cache.db") as store:
        kept = Kept(asked.entry(NOW_S), Record(3, 2, 1))
        assert await store.find(OWNER, asked.exact, b"") == kept._replace(level=Level.EXACT)
        (neighbour,) = await store.nearest(asked.place, vector, 5)
        assert neighbour.kept == kept
        assert neighbour.similarity == pytest.approx(1.0, abs=0.01)
        assert await store.recall("faq") == b"learnt"
        assert await store.drop(Which(tag="t")) == 1
    async with opened(tmp_path / "cache.db") as store:
        assert set(await listed(store)) == {"ce_1"}


async def test_what_was_noted_before_it_was_written_is_there_as_well(tmp_path: Path) -> None:
    async with opened(tmp_path / "cache.db") as store:
        await store.keep(Asked().entry(NOW_S), None)
        found = await store.get("ce_1")
        assert found is not None
        store.note(found, hits=1)
        assert store._snapshot is not None
        await store._snapshot.written()
        store.note(found, hits=1)
    async with opened(tmp_path / "cache.db") as store:
        assert (await listed(store))["ce_1"].record == Record(hits=2)


async def test_what_expired_meanwhile_is_not_loaded_and_leaves_the_file(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 3)
    async with opened(tmp_path / "cache.db", now_s=NOW_S + TTL_S / 2) as store:
        await store.keep(Asked("later").entry(NOW_S + TTL_S / 2, "ce_later"), None)
    async with opened(tmp_path / "cache.db", now_s=NOW_S + TTL_S) as store:
        assert set(await listed(store)) == {"ce_later"}
    assert rows_in(tmp_path / "cache.db") == {"ce_later"}


async def test_what_comes_from_the_future_is_not_believed(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 1)
    async with opened(tmp_path / "cache.db", now_s=NOW_S - 86_400.0) as store:
        assert await listed(store) == {}


async def test_bounds_hold_while_it_loads(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 600)
    async with opened(tmp_path / "cache.db", bounds=Bounds(entries_max=100)) as store:
        assert len(await listed(store)) == 100
    assert len(rows_in(tmp_path / "cache.db")) == 100


async def test_the_gateway_serves_while_it_loads_and_what_is_newer_stays(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 600)
    async with opened(tmp_path / "cache.db", loads=False) as store:
        await store.keep(Asked("5").entry(NOW_S, "ce_newer"), None)
        assert set(await listed_now(store)) == {"ce_newer"}
        assert await store.drop(Which(id="ce_7")) == 1  # though it is not there yet
        await store.loaded()
        assert set(await listed(store)) == names(600) - {"ce_5", "ce_7"} | {"ce_newer"}
    async with opened(tmp_path / "cache.db") as store:
        assert set(await listed(store)) == names(600) - {"ce_5", "ce_7"} | {"ce_newer"}


async def test_a_gateway_that_stops_while_it_loads_loses_nothing(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 600)
    async with opened(tmp_path / "cache.db", loads=False):
        await asyncio.sleep(0)
    async with opened(tmp_path / "cache.db") as store:
        assert set(await listed(store)) == names(600)


async def test_nobody_else_may_read_the_files(tmp_path: Path) -> None:
    async with opened(tmp_path / "made" / "cache.db") as store:
        await store.keep(Asked().entry(NOW_S), None)
        assert store._snapshot is not None
        await store._snapshot.written()
        files = list((tmp_path / "made").iterdir())
        assert {file.name for file in files} >= {"cache.db", "cache.db-wal", "cache.db.lock"}
        assert {file.stat().st_mode & 0o077 for file in [*files, tmp_path / "made"]} == {0}


async def test_two_processes_have_a_file_each(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    async with opened(path) as first, opened(path) as second:
        await first.keep(Asked("1").entry(NOW_S, "ce_first"), None)
        await second.keep(Asked("2").entry(NOW_S, "ce_second"), None)
    assert rows_in(path) == {"ce_first"}
    assert rows_in(tmp_path / "cache.db.1") == {"ce_second"}


async def test_where_all_files_are_held_answers_are_in_memory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.answers.snapshot_file.SLOTS_MAX", 1)
    async with opened(tmp_path / "cache.db"), opened(tmp_path / "cache.db") as store:
        await store.keep(Asked().entry(NOW_S), None)
        await store.remember("faq", b"learnt")
        assert set(await listed(store)) == {"ce_1"}
        assert await store.drop(Which(id="ce_1")) == 1
        assert (await store.stock()).unsent == 0


# -- files that are not what they should be ------------------------------------------------------------------------


def damage(path: Path, seed: int) -> None:
    """Some hundred bytes of it become others."""
    rng, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 20, 400))):
        data[rng.randrange(100, len(data))] = rng.randrange(256)
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(12))
async def test_a_damaged_file_keeps_nobody_from_starting_and_serves_nothing_damaged(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "cache.db"
    await fill(path, 400)
    damage(path, seed)
    async with opened(path) as store:
        for name, kept in (await listed(store)).items():
            assert kept.entry == Asked(name.removeprefix("ce_")).entry(NOW_S, name)
        await store.keep(Asked("new").entry(NOW_S, "ce_new"), None)
        assert store._snapshot is not None
        await store._snapshot.written()
        before = set(await listed(store))
    async with opened(path) as store:
        assert set(await listed(store)) >= {"ce_new"}
        assert set(await listed(store)) <= before


@pytest.mark.parametrize(
    "content",
    [b"", b"no database at all", b"SQLite format 3\x00" + bytes(52) + b"PMAC" + bytes(4000), os.urandom(50_000)],
    ids=["empty", "text", "heading", "noise"],
)
async def test_what_is_no_snapshot_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(content)
    async with opened(path) as store:
        await store.keep(Asked().entry(NOW_S), None)
    assert rows_in(path) == {"ce_1"}
    assert (tmp_path / "cache.db.damaged").read_bytes() == content


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER DELETE ON answers BEGIN INSERT INTO learnt VALUES ('x', 'y'); END",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE learnt",
        "PRAGMA user_version=99",
    ],
)
async def test_a_file_whose_schema_is_not_ours_is_set_aside(
    tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.db"
    await fill(path, 2)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    async with opened(path) as store:
        assert await listed(store) == {}
    assert "is damaged" in caplog.text
    assert rows_in(tmp_path / "cache.db.damaged") == names(2)


async def test_another_s_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE spent (nanousd INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StartError, match="another application's database"):
        async with opened(path):
            pass
    assert path.read_bytes() == before


async def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache.db").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("cache.db", "fifo"):
        with pytest.raises(StartError, match="is no file"):
            async with opened(tmp_path / name):
                pass
    with pytest.raises(StartError, match="cannot be used"):
        async with opened(tmp_path / "fifo" / "cache.db"):
            pass


async def test_a_file_that_breaks_while_it_is_used_is_made_anew_of_what_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    async with opened(path) as store:
        await store.keep(Asked("1").entry(NOW_S, "ce_1"), None)
        await store.remember("faq", b"learnt")
        assert store._snapshot is not None
        await store._snapshot.written()
        with failing_writes(sqlite3.DatabaseError("database disk image is malformed")) as failed:
            await store.keep(Asked("2").entry(NOW_S, "ce_2"), None)
            await failed()
        await store._snapshot.written()
        await asyncio.sleep(0)
        await store._snapshot.written()
    async with opened(path) as store:
        assert set(await listed(store)) == {"ce_1", "ce_2"}
        assert await store.recall("faq") == b"learnt"
    assert (tmp_path / "cache.db.damaged").exists()


async def test_a_disk_that_fails_is_tried_again(tmp_path: Path) -> None:
    full = disk_full()
    async with opened(tmp_path / "cache.db") as store:
        assert store._snapshot is not None
        with failing_writes(full) as failed:
            await store.keep(Asked().entry(NOW_S), None)
            await failed()
            await failed()
        await store._snapshot.written()
        assert store._snapshot.last_error is None
    assert rows_in(tmp_path / "cache.db") == {"ce_1"}
    assert not (tmp_path / "cache.db.damaged").exists()


async def test_what_a_disk_did_not_take_for_too_long_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.answers.snapshot.UNWRITTEN_MAX", 5)
    full = disk_full()
    await fill(tmp_path / "cache.db", 20)
    async with opened(tmp_path / "cache.db") as store:
        assert store._snapshot is not None
        with failing_writes(full) as failed:
            for number in range(10):
                store._shelves.remove(store._shelves.by_id[f"ce_{number}"])
            await failed()
            await failed()
        await store._snapshot.written()
        await asyncio.sleep(0)
        await store._snapshot.written()
    assert rows_in(tmp_path / "cache.db") == names(20) - names(10)


async def test_what_changes_while_a_write_fails_is_what_is_written_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "cache.db") as store:
        snapshot, write = store._snapshot, Rows.write
        assert snapshot is not None
        monkeypatch.setattr("gateway.state.answers.snapshot.RETRY_S", 0.01)

        def fail_once(*_: object) -> None:
            monkeypatch.setattr(Rows, "write", write)
            snapshot.drop("ce_1")
            raise disk_full()

        monkeypatch.setattr(Rows, "write", fail_once)
        await store.keep(Asked("1").entry(NOW_S), None)
        await store.keep(Asked("2").entry(NOW_S, "ce_2"), None)
        await snapshot.written()
    assert rows_in(tmp_path / "cache.db") == {"ce_2"}


async def test_of_two_answers_to_one_request_the_newer_is_loaded(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 0)
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as connection:
        entries = [Asked("1").entry(NOW_S, name) for name in ("ce_old", "ce_new")]
        Rows(connection).write({entry.id: Loaded(entry, Record()) for entry in entries}, {})
    async with opened(tmp_path / "cache.db") as store:
        assert set(await listed(store)) == {"ce_new"}
    assert rows_in(tmp_path / "cache.db") == {"ce_new"}


# -- sealed ----------------------------------------------------------------------------------------------------------


async def test_with_a_key_the_file_says_nothing_of_what_was_asked_or_answered(tmp_path: Path) -> None:
    path, asked = tmp_path / "cache.db", Asked("where is the hidden treasure")
    async with opened(path, keys=[KEY]) as store:
        entry = msgspec.structs.replace(asked.entry(NOW_S), body=b"under the old oak")
        await store.keep(entry, beside(direction(1), 0.9))
        assert store._snapshot is not None
        await store._snapshot.written()
        told = b"".join(content_of(tmp_path))
        assert OWNER.encode() in told
        for secret in (b"treasure", b"oak", b"x-served-by", asked.exact):
            assert secret not in told
    async with opened(path, keys=["a newer key, also long enough", KEY]) as store:
        assert (await listed(store))["ce_1"].entry == entry


async def test_without_the_key_nothing_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    await fill(path, 3, keys=[KEY])
    for keys in ([], ["another key, long enough too"]):
        async with opened(path, keys=keys) as store:
            assert await listed(store) == {}
    async with opened(path, keys=[KEY]) as store:
        assert set(await listed(store)) == names(3)


async def test_with_a_key_nothing_is_believed_that_is_not_sealed(tmp_path: Path) -> None:
    await fill(tmp_path / "cache.db", 3)
    async with opened(tmp_path / "cache.db", keys=[KEY]) as store:
        assert await listed(store) == {}


@contextmanager
def failing_writes(error: Exception) -> Iterator[Callable[[], Awaitable[object]]]:
    """Each call of what it gives waits for one more write that fails."""
    failed = threading.Semaphore(0)

    def write(*_: object) -> None:
        failed.release()
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rows, "write", write)
        patched.setattr("gateway.state.answers.snapshot.RETRY_S", 0.01)
        yield lambda: asyncio.to_thread(failed.acquire, timeout=10)


def disk_full() -> sqlite3.Error:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def content_of(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


def rows_in(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT id FROM answers")}


async def listed_now(store: InProcessAnswers) -> list[str]:
    """Without waiting for what is being loaded."""
    return [one.entry.id for one in store._shelves.matching(None)]
