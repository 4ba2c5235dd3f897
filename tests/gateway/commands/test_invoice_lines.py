from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.commands.invoice_lines import BYTES_MAX, lines_of, nanousd_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "nanousd"),
    [
        ("1234.56", 1_234_560_000_000),
        ("$1,234.56", 1_234_560_000_000),
        (" 0 ", 0),
        (".5", 500_000_000),
        ("-3", -3_000_000_000),
        ("1.5e-05", 15_000),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
    ],
)
def test_amounts_as_people_and_providers_write_them(text: str, nanousd: int) -> None:
    assert nanousd_of(text) == nanousd


@pytest.mark.parametrize(
    "text", ["", "12 EUR", "1e9", "NaN", "inf", "1.2.3", "0x10", "9" * 15, "١٢", "12,34", "1234,56", "1,2345"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an amount"):
        nanousd_of(text)


def test_lines_of_one_model_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "invoice.csv"
    path.write_text("\ufeffDate,Line Item,Amount USD\n1,gpt-4o,1.50\n2,gpt-4o,0.25\n2,o3,\n3,credit,-1\n")
    assert lines_of(path) == {"gpt-4o": 1_750_000_000, "credit": -1_000_000_000}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column for the model"),
        ("model,when\n", "no column for the amount"),
        ("model,cost\ngpt,1\ngpt,lots\n", "line 3 of the invoice: an amount"),
        ('model,cost\n"gpt' + "x" * 200_000, "the invoice is no CSV"),
    ],
)
def test_a_file_that_is_no_invoice_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "invoice.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        lines_of(path)


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "invoice.csv"
    with path.open("wb") as file:
        file.truncate(BYTES_MAX + 1)
    with pytest.raises(ValueError, match="more than 32 MiB"):
        lines_of(path)
