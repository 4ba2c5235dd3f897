from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.commands.csv_cells import cell_of


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_a_spreadsheet_has_nothing_to_act_upon(start: str) -> None:
    assert cell_of(f"{start}cmd") == f"'{start}cmd"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-5, -5),
        ("plain", "plain"),
        (None, None),
        (Decimal("1.500"), "1.5"),
        (Decimal("1E+4"), "10000"),
        (datetime(2026, 11, 22, 12, tzinfo=UTC), "2026-11-22T12:00:00Z"),
    ],
)
def test_values_are_written_plainly(value: object, cell: object) -> None:
    assert cell_of(value) == cell
