from __future__ import annotations

from benchmarks.observing import BATCH, per_request, table
from benchmarks.observing_scrapes import (
    SERIES,
    Found,
    Part,
    five_thousand,
    measure,
    of_holds,
    of_pushes,
    of_scrapes,
)
from gateway.signals.exposition import series_count


def test_every_part_runs_and_has_a_row() -> None:
    parts = [*per_request(), *of_scrapes(), *of_pushes()]
    rows = [(part, measure(part._replace(times=1), 1)) for part in parts]
    rows += of_holds(1)
    text = table(rows)
    assert len(text.splitlines()) == 2 + len(parts) + 2
    assert all(found.best > 0 for _, found in rows)


def test_there_are_as_many_series_as_the_table_says() -> None:
    assert abs(series_count(five_thousand().snapshot()) - SERIES) < 10


def test_a_part_is_counted_by_the_call_though_it_is_done_for_many() -> None:
    seen = []
    one = measure(Part("x", lambda: seen.append(sum(range(200_000))), times=1), 3)
    each = measure(Part("x", lambda: seen.append(sum(range(200_000))), times=1, each=BATCH), 3)
    assert 0 < each.best < one.best / (BATCH / 4)


def test_a_ratio_above_the_aim_is_shown_as_it_is() -> None:
    rows = [
        (Part("metrics of the usual call", int, 8.0), Found(10.0, 12.0)),
        (Part("the same by prometheus_client", int), Found(20.0, 20.0)),
    ]
    assert "| metrics of the usual call | 10.00 us | 12.00 us | 8 us | 1.50, 0.60 of theirs |" in table(rows)
