from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.journal.backlog import MOST_ROWS_PER_EXTENT, Backlog
from gateway.state.journal.journal import Extent
from gateway.state.ledger.schema import LedgerRow

ROW = LedgerRow._make(["r", *[1] * (len(LedgerRow._fields) - 1)])


def rows(first: int, count: int) -> list[LedgerRow]:
    return [ROW._replace(attempt=number) for number in range(first, first + count)]


def test_rows_come_out_in_order_and_about_as_many_as_asked_for() -> None:
    backlog = Backlog()
    for number in range(0, 10, 2):
        backlog.put(rows(number, 2), None)
    assert backlog.rows_in_memory == 10
    assert backlog.take(3) == rows(0, 4)
    assert backlog.take(100) == rows(4, 6)
    assert backlog.take(1) is None
    assert backlog.rows_in_memory == 0


def test_beyond_the_bound_it_keeps_only_where_they_lie() -> None:
    backlog = Backlog(most_rows_in_memory=2)
    backlog.put(rows(0, 2), Extent(1, 0, 10, 2))
    assert backlog.is_full
    backlog.put(rows(2, 1), Extent(1, 10, 20, 1))
    backlog.put(rows(3, 1), Extent(1, 30, 40, 1))
    backlog.put(rows(4, 1), Extent(2, 5, 9, 1))
    backlog.put(rows(5, 1), None)  # the journal has not got it
    assert backlog.rows_in_memory == 3
    assert backlog.take(100) == rows(0, 2)
    assert backlog.take(100) == Extent(1, 10, 40, 2)
    assert backlog.take(100) == Extent(2, 5, 9, 1)
    assert backlog.take(100) == rows(5, 1)
    assert backlog.take(100) is None


@given(st.lists(st.tuples(st.integers(1, 900), st.booleans(), st.integers(0, 3)), max_size=60))
def test_nothing_is_lost_or_told_twice(steps: list[tuple[int, bool, int]]) -> None:
    backlog, position, taken = Backlog(most_rows_in_memory=1_000), 0, []
    for count, is_in_journal, takes in steps:
        put = list(range(position, position + count))
        backlog.put(
            [ROW._replace(attempt=n) for n in put],
            Extent(1, position, position + count, count) if is_in_journal else None,
        )
        position += count
        for _ in range(takes):
            taken += numbers(backlog)
    while found := numbers(backlog):
        taken += found
    assert taken == list(range(position))
    assert backlog.rows_in_memory == 0


def numbers(backlog: Backlog) -> list[int]:
    batch = backlog.take(500)
    if batch is None:
        return []
    if isinstance(batch, Extent):
        assert batch.rows < MOST_ROWS_PER_EXTENT + 900
        return list(range(batch.start, batch.end))
    return [row.attempt for row in batch]
