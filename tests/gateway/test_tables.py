from __future__ import annotations

import pytest

from gateway.tables import aligned, cell, day, table, terminal_width

ROWS: list[list[object]] = [["a", "a name of some length"], ["bbbb", None]]


def test_columns_stand_under_their_heads() -> None:
    assert table(("ID", "NAME"), ROWS).splitlines() == ["ID    NAME", "a     a name of some length", "bbbb  -"]


@pytest.mark.parametrize("width", [20, 16, 14])
def test_the_widest_column_is_cut_where_the_terminal_is_narrow(width: int) -> None:
    lines = table(("ID", "NAME"), ROWS, width).splitlines()
    assert max(map(len, lines)) == width
    assert lines[1].endswith("…")
    assert lines[2] == "bbbb  -"


def test_nothing_is_cut_to_nothing() -> None:
    assert table(("ID", "NAME"), ROWS, 1).splitlines()[1] == "a     a nam…"


def test_names_stand_to_the_left_and_numbers_to_the_right() -> None:
    rows = [["who", "what", "USD"], ["a", "", "10.5"], ["bcde", "x", ""]]
    assert aligned(rows, 2) == ["who   what   USD", "a           10.5", "bcde  x"]


def test_cells_are_plain() -> None:
    told = [cell(value) for value in (None, True, False, [], ["a", "b"], 7, "a\x1b[31m\n")]
    assert told == ["-", "yes", "no", "-", "a,b", "7", "a\\x1b[31m\\n"]
    assert day(1_801_353_600_000) == "2027-01-31 00:00"
    assert day(None) is None


def test_a_script_gets_all_of_it() -> None:
    assert terminal_width() is None
