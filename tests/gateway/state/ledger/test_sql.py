"""The same over SQLite and PostgreSQL: each row once, and no sum that differs from its rows."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest

from gateway.state.database import Database
from gateway.state.ledger.rollups import COMPONENTS, DIMENSIONS, MEASURES, rolled_up, series_of
from gateway.state.ledger.schema import LARGEST, LedgerRow
from gateway.state.ledger.sql import UnfitError, append, spent, spent_of, write
from tests.gateway.state.ledger_rows import DAY_S, NOON_MS, a_hit, a_row, asked, unpriced, written

if TYPE_CHECKING:
    from collections.abc import Sequence


async def test_what_is_appended_is_read_back_the_same(database: Database) -> None:
    rows = [a_row("req_1"), unpriced(a_row("req_1", 2)), a_row("req_2")._replace(org=None, tags=None, charges=None)]
    assert await append(database, rows) == 3
    assert await written(database) == rows


async def test_no_rows_are_no_work(database: Database) -> None:
    assert await append(database, []) == 0


async def test_a_row_counts_once_however_often_it_comes(database: Database) -> None:
    first, second = a_row("req_1"), a_row("req_2")
    assert await append(database, [first, first]) == 1
    assert await append(database, [first._replace(cost_nanousd=9_999), second]) == 1
    assert await written(database) == [first, second]
    assert await spent(database, "acme|budget:ci", DAY_S) == 700
    await assert_sums_are_right(database)


async def test_a_batch_of_any_size_is_written_whole(database: Database) -> None:
    rows = [a_row(f"req_{number:04}") for number in range(777)]
    assert await append(database, rows) == 777
    assert await spent(database, "acme|budget:ci", float(DAY_S)) == 777 * 350
    await assert_sums_are_right(database)


async def test_a_window_nobody_was_charged_in_is_zero(database: Database) -> None:
    await append(database, [a_row()])
    assert await spent(database, "acme|budget:ci", DAY_S + 86_400) == 0
    assert await spent(database, "other|budget:ci", DAY_S) == 0


async def test_a_transaction_given_up_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await give_up(database, [a_row()])
    assert await written(database) == []
    assert await asked(database, "SELECT * FROM usage_hourly") == []
    assert await asked(database, "SELECT * FROM charges") == []


@pytest.mark.parametrize(
    "odd",
    [
        {"team": "lone \ud800 surrogate"},
        {"cost_nanousd": 2**70},
        {"charges": "[[1]]"},
        {"charges": "no json"},
        {"outcome": None},
    ],
)
async def test_an_odd_value_is_made_fit_and_the_rest_of_the_batch_kept(
    database: Database, odd: dict[str, object]
) -> None:
    odd_row = LedgerRow(**{**a_row("req_2")._asdict(), **odd})
    with pytest.raises(UnfitError):
        async with database.begin() as connection:
            await write(connection, [a_row("req_1"), odd_row])
    assert await append(database, [a_row("req_1"), odd_row]) == 2
    first, second = await written(database)
    assert first == a_row("req_1")
    changed = {name for name, value in second._asdict().items() if value != odd_row._asdict()[name]}
    assert changed == odd.keys()
    assert (second.cost_nanousd or 0) <= LARGEST
    await assert_sums_are_right(database)


async def test_a_zero_byte_is_kept_out_where_the_database_cannot_hold_it(database: Database) -> None:
    assert await append(database, [a_row()._replace(team="a\0b")]) == 1
    assert (await written(database))[0].team in {"a\0b", "a\N{REPLACEMENT CHARACTER}b"}


async def test_names_of_any_length_are_no_obstacle(database: Database) -> None:
    """PostgreSQL's indexes refuse texts beyond 2.7 KB that do not compress."""
    rng = random.Random(3)
    long = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(20_000))
    charges = json.dumps([[f"acme|{long}", DAY_S, 5]])
    assert await append(database, [a_row()._replace(user=long, tags=json.dumps([long]), charges=charges)]) == 1
    assert await spent(database, f"acme|{long}", DAY_S) == 5


async def test_writers_of_the_same_rows_at_once_count_them_once(database: Database, database_url: str) -> None:
    rows = [a_row(f"req_{number:03}")._replace(team=f"team_{number % 7}") for number in range(300)]
    other = Database(database_url)
    try:
        taken = await asyncio.gather(*(append(one, rows) for one in (database, other, database, other)))
    finally:
        await other.close()
    assert sum(taken) == 300
    await assert_sums_are_right(database)


@pytest.mark.parametrize("seed", range(8))
async def test_sums_equal_their_rows_through_duplicates_and_crashes(database: Database, seed: int) -> None:
    """Batches of random rows, some again, some given up before they are committed."""
    rng = random.Random(seed)
    known: list[LedgerRow] = []
    for _ in range(12):
        batch = [random_row(rng) for _ in range(rng.randrange(40))] + rng.sample(known, min(len(known), 10))
        rng.shuffle(batch)
        if rng.random() < 0.3:
            with pytest.raises(ZeroDivisionError):
                await give_up(database, batch)
        else:
            await append(database, batch)
            known += batch
        await assert_sums_are_right(database)
    assert len(await written(database)) == len({(row.request_id, row.attempt) for row in known})


async def give_up(database: Database, rows: Sequence[LedgerRow]) -> None:
    async with database.begin() as connection:
        await write(connection, rows)
        raise ZeroDivisionError


def random_row(rng: random.Random) -> LedgerRow:
    account = rng.choice(["acme|day", "acme|month", "zeta|day"])
    row = a_row(f"req_{rng.randrange(200)}", rng.randrange(1, 4))._replace(
        started_at_ms=NOON_MS + rng.randrange(-7_200_000, 7_200_000),
        org=rng.choice([None, "acme", "zeta"]),
        team=rng.choice([None, "", "platform"]),
        user=rng.choice([None, "ada", "bob\n'"]),
        tags=rng.choice([None, "[]", '["blue","green"]']),
        deployment=rng.choice(["gpt-4o", "llama"]),
        estimated=rng.randrange(2),
        output_tokens=rng.randrange(10_000),
        cost_nanousd=rng.randrange(10**12),
        charges=rng.choice([None, "[]", json.dumps([[account, DAY_S, rng.randrange(10**9)], ["acme|x", DAY_S, 1]])]),
    )
    if rng.random() < 0.2:
        return a_hit(row, saved_nanousd=rng.choice([None, rng.randrange(10**9)]), saved_tokens=rng.randrange(10_000))
    return row if rng.random() < 0.8 else unpriced(row)


async def assert_sums_are_right(database: Database) -> None:
    """Both of them against a sum of our own over the rows that the database holds."""
    rows = await written(database)
    expected = plain_sums(rows)
    columns = ", ".join(f'"{name}"' for name in (*DIMENSIONS, *MEASURES))
    kept = await asked(database, f"SELECT hour_s, series, {columns} FROM usage_hourly")  # noqa: S608 - our words
    cut = 2 + len(DIMENSIONS)
    assert {(row[0], *row[2:cut]): row[cut:] for row in kept} == expected
    assert all(row[1] == series_of(row[2:cut]) for row in kept)
    charged: dict[tuple[str, int], int] = {}
    for row in rows:
        for account, window_s, amount in json.loads(row.charges or "[]"):
            charged[account, window_s] = charged.get((account, window_s), 0) + amount
    assert {(row[0], row[1]): row[2] for row in await asked(database, "SELECT * FROM charges")} == charged


def plain_sums(rows: Sequence[LedgerRow]) -> dict[tuple[object, ...], tuple[int, ...]]:
    groups: dict[tuple[object, ...], list[LedgerRow]] = {}
    for row in rows:
        key = (row.started_at_ms // 3_600_000 * 3600, *(getattr(row, name) for name in DIMENSIONS))
        groups.setdefault(key, []).append(row)
    return {key: tuple(measure(group)) for key, group in groups.items()}


def measure(rows: list[LedgerRow]) -> list[int]:
    def tokens(some: list[LedgerRow]) -> int:
        return sum(row.input_tokens + row.output_tokens for row in some)

    without_price = [row for row in rows if row.unpriced_reason is not None]
    return [
        len([row for row in rows if row.attempt == 1 or row.cache_level is not None]),
        len([row for row in rows if row.cache_level is None]),
        sum(row.input_tokens for row in rows),
        sum(row.cached_input_tokens for row in rows),
        sum(row.cache_write_tokens for row in rows),
        sum(row.output_tokens for row in rows),
        sum(row.reasoning_tokens for row in rows),
        tokens([row for row in rows if row.estimated]),
        sum(row.cost_nanousd or 0 for row in rows),
        len([row for row in rows if row.cost_nanousd is not None and row.cache_level is None]),
        len(without_price),
        tokens(without_price),
        len([row for row in rows if row.cache_level is not None]),
        sum(row.saved_nanousd or 0 for row in rows),
        sum(row.saved_tokens or 0 for row in rows),
        sum(billed_by_provider(row) for row in rows),
        sum(row.gpu_us or 0 for row in rows),
        *(sum(getattr(row, name) or 0 for row in rows) for name in COMPONENTS),
    ]


def billed_by_provider(row: LedgerRow) -> int:
    return row.upstream_nanousd if row.upstream_nanousd is not None else row.cost_nanousd or 0


def test_the_sums_of_the_gateway_are_the_plain_ones() -> None:
    rng = random.Random(1)
    rows = [random_row(rng) for _ in range(300)]
    usage = {(hour_s, *who): tuple(sums) for (hour_s, who), sums in rolled_up(rows).usage.items()}
    assert usage == plain_sums(rows)


async def test_many_accounts_are_asked_of_at_once(database: Database) -> None:
    """More than one statement's worth of them, some twice, some unknown, one too long for an index."""
    names = [f"acme|budget:{number}" for number in range(120)] + [f"acme|{'x' * 5_000}"]
    charges = json.dumps([[name, DAY_S, number + 1] for number, name in enumerate(names)])
    await append(database, [a_row()._replace(charges=charges)])
    wanted: list[tuple[str, float]] = [(name, float(DAY_S)) for name in names]
    others: list[tuple[str, float]] = [(names[0], DAY_S + 86_400.0), ("nobody", float(DAY_S))]
    found = await spent_of(database, [*wanted, *others, wanted[5]])
    assert found == [*range(1, 122), 0, 0, 6]
    assert await spent_of(database, []) == []
