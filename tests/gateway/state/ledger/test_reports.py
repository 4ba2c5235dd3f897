from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from gateway.state.ledger.reports import GROUPS, Span, Spend, spend_by
from gateway.state.ledger.retention import expire
from gateway.state.ledger.rollups import COMPONENTS, MEASURES
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
    told = dict(zip(MEASURES, measure(rows), strict=True))
    is_known = told["priced_attempts"] or told["cache_hits"]
    unsplit = told["cost_nanousd"] - sum(told[one] for one in COMPONENTS)
    costs = [told["cost_nanousd"], *(told[one] for one in COMPONENTS), unsplit, told["upstream_nanousd"]]
    return Spend(
        name,
        (name,),
        told["calls"],
        told["attempts"],
        *(told[one] for one in MEASURES[2:8]),
        *(costs if is_known else [None] * len(costs)),
        *(told[one] for one in ("unpriced_attempts", "unpriced_tokens", *MEASURES[12:15], "gpu_us")),
    )


@pytest.mark.parametrize("by", ["team", "user", "org", "route", "deployment", "provider", "model", "source"])
async def test_each_grouping_adds_up_its_rows(database: Database, by: str) -> None:
    rng = random.Random(5)
    rows = list({(row.request_id, row.attempt): row for row in (random_row(rng) for _ in range(200))}.values())
    await append(database, rows)
    spends, total = await asked_for(database, by)
    column = "price_source" if by == "source" else by
    names = {getattr(row, column) for row in rows}
    assert spends == {name: expected([row for row in rows if getattr(row, column) == name], name) for name in names}
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


@pytest.mark.parametrize("span", [Span(), Span(NOON_MS - 1, NOON_MS + 1)], ids=["by the hour", "by attempts"])
async def test_what_a_cache_asks_by_itself_costs_and_is_no_request(database: Database, span: Span) -> None:
    own = [a_row(name)._replace(key_id="cache:judge", key_name="cache:judge") for name in ("req_2", "req_3")]
    nobody = a_row("req_4")._replace(key_id=None, key_name=None)
    await append(database, [a_row("req_1"), *own, nobody])
    spends, total = await asked_for(database, "key", span)
    told = {name: (spend.requests, spend.attempts, spend.cost_nanousd) for name, spend in spends.items()}
    cost_nanousd = own[0].cost_nanousd or 0
    assert told["cache:judge"] == (0, 2, 2 * cost_nanousd)
    assert told["ci"] == told[None] == (1, 1, cost_nanousd)
    assert (total.requests, total.attempts, total.cost_nanousd) == (2, 4, 4 * cost_nanousd)


async def test_who_had_only_hits_paid_nothing_which_is_known(database: Database) -> None:
    await append(database, [a_hit(a_row("req_1"))])
    _, total = await asked_for(database, "team")
    assert (total.requests, total.attempts, total.cost_nanousd, total.unpriced_attempts) == (1, 0, 0, 0)


async def test_of_two_groupings_lines_of_one_name_stand_together_and_add_up_to_the_total(database: Database) -> None:
    rng = random.Random(9)
    made = (random_row(rng)._replace(gpu_us=rng.randrange(1_000)) for _ in range(200))
    rows = list({(row.request_id, row.attempt): row for row in made}.values())
    await append(database, rows)
    async with database.read() as connection:
        spends, total = await spend_by(connection, ("team", "model", "day"), Span())
        (by_team, _) = await spend_by(connection, "team", Span())
    pairs = {(row.team, row.model) for row in rows}
    assert {spend.names[:2] for spend in spends} == pairs
    assert all(spend.name == spend.names[0] for spend in spends)
    assert sum(spend.cost_nanousd or 0 for spend in spends) == total.cost_nanousd
    assert sum(spend.gpu_us for spend in spends) == total.gpu_us > 0
    assert list(dict.fromkeys(spend.names[0] for spend in spends)) == [spend.name for spend in by_team]
    for team, model in pairs:
        within = [row for row in rows if (row.team, row.model) == (team, model)]
        days = [spend for spend in spends if spend.names[:2] == (team, model)]
        assert sum(day.cost_nanousd or 0 for day in days) == sum(row.cost_nanousd or 0 for row in within)
        assert [day.names[2] for day in days] == sorted(str(day.names[2]) for day in days)


async def test_several_tags_and_models_are_in_each_line_and_once_in_the_total(database: Database) -> None:
    rows = [a_row("req_1")._replace(tags='["a","b"]'), a_row("req_2")._replace(model="m2", tags='["b"]')]
    await append(database, rows)
    async with database.read() as connection:
        spends, total = await spend_by(connection, ("tag", "model"), Span())
    costs = {spend.names: spend.cost_nanousd for spend in spends}
    assert costs == {("a", "gpt-4o-2024"): 350, ("b", "gpt-4o-2024"): 350, ("b", "m2"): 350}
    assert total.cost_nanousd == 700


async def test_components_add_up_and_what_older_releases_summed_is_told_apart(database: Database) -> None:
    await append(database, [a_row("req_1")._replace(request_nanousd=3, tool_nanousd=4, cost_nanousd=357)])
    async with database.begin() as connection:
        await connection.execute(text("UPDATE usage_hourly SET cost_nanousd = cost_nanousd + 1000"))
    _, total = await asked_for(database, "team")
    parts = (total.input_nanousd, total.cached_input_nanousd, total.cache_write_nanousd, total.output_nanousd)
    assert (*parts, total.request_nanousd, total.tool_nanousd) == (250, 50, 0, 50, 3, 4)
    assert (total.unsplit_nanousd, total.cost_nanousd) == (1000, 1357)


@pytest.mark.parametrize("by", [(), ("team", "team"), ("team", "model", "day", "key")])
async def test_groupings_are_one_to_three_and_different(database: Database, by: tuple[str, ...]) -> None:
    async with database.read() as connection:
        with pytest.raises(ValueError, match="one to 3 groupings, each once"):
            await spend_by(connection, by, Span())


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
