from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from gateway.state.ledger.reports import GROUPS, Span, Spend, spend_by
from gateway.state.ledger.retention import expire
from gateway.state.ledger.sql import append
from tests.gateway.state.ledger.test_sql import measure, random_row
from tests.gateway.state.ledger_rows import NOON_MS, a_hit, a_row, unpriced

if TYPE_CHECKING:
    from gateway.state.database import Database
    from gateway.state.ledger.schema import LedgerRow

HOUR_MS = 3_600_000


async def asked_for(database: Database, by: str, span: Span | None = None) -> tuple[dict[str | None, Spend], Spend]:
    async with database.read() as connection:
        spends, total = await spend_by(connection, by, span or Span())
    return {spend.name: spend for spend in spends}, total


def expected(rows: list[LedgerRow], name: str | None) -> Spend:
    calls, attempts, input_, cached, _, output, _, estimated, cost, priced, unpriced_, tokens, *hits = measure(rows)
    told_cost = cost if priced or hits[0] else None
    return Spend(name, calls, attempts, input_, cached, output, estimated, told_cost, unpriced_, tokens, *hits)


@pytest.mark.parametrize("by", ["team", "user", "org", "route", "deployment", "provider", "model"])
async def test_each_grouping_adds_up_its_rows(database: Database, by: str) -> None:
    rng = random.Random(5)
    rows = list({(row.request_id, row.attempt): row for row in (random_row(rng) for _ in range(200))}.values())
    await append(database, rows)
    spends, total = await asked_for(database, by)
    names = {getattr(row, by) for row in rows}
    assert spends == {name: expected([row for row in rows if getattr(row, by) == name], name) for name in names}
    assert total == expected(rows, "total")


async def test_a_key_without_a_name_goes_by_its_id(database: Database) -> None:
    await append(database, [a_row("req_1"), a_row("req_2")._replace(key_name=None)])
    spends, _ = await asked_for(database, "key")
    assert {name: spend.requests for name, spend in spends.items()} == {"ci": 1, "k_1": 1}


async def test_a_day_is_one_of_utc(database: Database) -> None:
    await append(database, [a_row("req_1"), a_row("req_2")._replace(started_at_ms=NOON_MS + 12 * HOUR_MS)])
    spends, _ = await asked_for(database, "day")
    assert list(spends) == ["2026-11-22", "2026-11-23"]


async def test_what_has_several_tags_is_in_each_line_and_once_in_the_total(database: Database) -> None:
    rows = [a_row("req_1")._replace(tags='["a","b","a"]'), a_row("req_2")._replace(tags="[]"), a_row("req_3")]
    await append(database, [*rows, a_row("req_4")._replace(tags=None)])
    spends, total = await asked_for(database, "tag")
    assert {name: spend.requests for name, spend in spends.items()} == {"a": 1, "b": 1, "blue": 1, None: 2}
    assert total.requests == 4


async def test_groups_come_dearest_first_and_those_without_a_price_last(database: Database) -> None:
    rows = [a_row(f"req_{number}")._replace(team=f"t{number}", cost_nanousd=number) for number in range(3)]
    await append(database, [*rows, unpriced(a_row("req_x"))._replace(team="free")])
    assert list((await asked_for(database, "team"))[0]) == ["t2", "t1", "t0", "free"]


@pytest.mark.parametrize("seed", range(4))
async def test_a_span_is_exact_to_the_millisecond(database: Database, seed: int) -> None:
    """Whole hours come from the sums, what is left of it from the attempts."""
    rng = random.Random(seed)
    rows = list({(row.request_id, row.attempt): row for row in (random_row(rng) for _ in range(150))}.values())
    await append(database, rows)
    edges = [row.started_at_ms for row in rows[:6]] + [NOON_MS, NOON_MS + HOUR_MS, NOON_MS + 1, 0, 2**53]
    oldest = min(row.started_at_ms for row in rows)
    for _ in range(12):
        span = Span(*(max(rng.choice(edges), oldest) for _ in range(2)))
        within = [row for row in rows if span.since_ms <= row.started_at_ms < span.until_ms]
        _, total = await asked_for(database, "team", span)
        assert total == expected(within, "total"), span


async def test_what_was_let_go_stays_in_reports_by_whole_hours(database: Database) -> None:
    rows = [a_row(f"req_{number}")._replace(started_at_ms=NOON_MS + number * HOUR_MS // 2) for number in range(6)]
    await append(database, rows)
    await expire(database, NOON_MS + HOUR_MS + 1)
    assert (await asked_for(database, "team"))[1].attempts == 6
    assert (await asked_for(database, "team", Span(since_ms=NOON_MS + 5)))[1].attempts == 6
    assert (await asked_for(database, "team", Span(until_ms=NOON_MS + HOUR_MS + 5)))[1].attempts == 2


async def test_a_hit_is_a_request_that_costs_nothing_and_says_what_it_saved(database: Database) -> None:
    hits = [a_hit(a_row("req_2")), a_hit(a_row("req_3"), saved_nanousd=None)]
    await append(database, [a_row("req_1"), *hits])
    for span in (Span(), Span(NOON_MS - 1, NOON_MS + 1)):  # from the sums, and from the rows
        _, total = await asked_for(database, "team", span)
        assert (total.requests, total.attempts, total.cost_nanousd) == (3, 1, 350)
        assert (total.cache_hits, total.saved_nanousd, total.saved_tokens) == (2, 350, 220)


async def test_who_had_only_hits_paid_nothing_which_is_known(database: Database) -> None:
    await append(database, [a_hit(a_row("req_1"))])
    _, total = await asked_for(database, "team")
    assert (total.requests, total.attempts, total.cost_nanousd, total.unpriced_attempts) == (1, 0, 0, 0)


async def test_another_grouping_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="cannot group by 1; DROP TABLE attempts"):
        await asked_for(database, "1; DROP TABLE attempts")
    assert set(GROUPS) >= {"key", "day"}


async def test_reports_need_no_table_scan(database: Database) -> None:
    """The sums lie in the order of their hours, and the attempts of a span are found by an index."""
    if not database.is_sqlite:
        pytest.skip("PostgreSQL plans by statistics, which a small table has none of")
    async with database.read() as connection:
        for table, column in (("usage_hourly", "hour_s"), ("attempts", "started_at_ms")):
            plan = f"EXPLAIN QUERY PLAN SELECT count(*) FROM {table} WHERE {column} >= 1 AND {column} < 2"  # noqa: S608 - our words
            details = [str(row) for row in await connection.execute(text(plan))]
            assert "SEARCH" in details[0], details
