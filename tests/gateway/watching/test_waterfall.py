from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.watching.waterfall import Bar, ms, waterfall

times = st.floats(-10, 1e7)
bars = st.builds(Bar, st.text(max_size=60), times, times, st.none() | times, st.text(max_size=20))


def test_bars_stand_where_things_happened() -> None:
    found = list(waterfall([Bar("auth", 0, 25), Bar("1 far", 25, 100, 75, "ok")], 100, 50))
    assert found == [
        "  auth  |########                      | 25 ms",
        "  1 far |        --------------========| 75 ms  ok",
    ]


def test_what_took_no_time_is_seen_as_well() -> None:
    lines = list(waterfall([Bar("a", 0, 0), Bar("b", 100, 100), Bar("c", 0, 100)], 100, 60))
    assert all("#" in line for line in lines)


@given(st.lists(bars, max_size=6), st.floats(0, 1e7), st.integers(80, 200))
def test_no_line_leaves_the_terminal_or_acts_on_it(found: list[Bar], total_ms: float, columns: int) -> None:
    lines = list(waterfall(found, total_ms, columns))
    assert len(lines) == len(found)
    for line in lines:
        assert line.isprintable()
        assert len(line) <= columns


@pytest.mark.parametrize(("value", "text"), [(0.081, "0.08 ms"), (7, "7 ms"), (120.4, "120 ms"), (1240, "1.24 s")])
def test_times_have_few_digits(value: float, text: str) -> None:
    assert ms(value) == text
