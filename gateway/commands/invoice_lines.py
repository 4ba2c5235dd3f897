"""Amounts of invoices as people and providers write them: one sum, or a CSV file with a line for each model."""

from __future__ import annotations

import csv
import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final

from gateway.scrubbing import printable
from gateway.signals.telemetry import NANO

if TYPE_CHECKING:
    from pathlib import Path

BYTES_MAX: Final = 32 << 20
LARGEST_USD: Final = 1_000_000_000
MODEL_WORDS: Final = ("model", "model_name", "sku", "line_item", "item", "description", "product")
AMOUNT_WORDS: Final = ("amount", "amount_usd", "cost", "cost_usd", "amount_value", "total", "price", "usd")
_WHOLE: Final = "[0-9]{1,21}|[0-9]{1,3}(,[0-9]{3}){1,6}"  # elsewhere a comma stands before cents
_AMOUNT: Final = re.compile(rf"-?\$?({_WHOLE})(\.[0-9]{{1,20}})?([eE]-[0-9]{{1,2}})?|-?\$?\.[0-9]{{1,20}}")


def nanousd_of(text: str) -> int:
    """`1234.56`, also `$1,234.56`, in nano-USD; what is finer is rounded half to even. Raises `ValueError`."""
    said = text.strip()
    if not _AMOUNT.fullmatch(said):
        raise ValueError(f"an amount in USD such as 1234.56 is meant, not {printable(text, 40)!r}")
    usd = Decimal(said.replace("$", "").replace(",", ""))
    if abs(usd) > LARGEST_USD:
        raise ValueError(f"an amount of at most {LARGEST_USD:,} USD is meant")
    return int((usd * NANO).quantize(Decimal(1), ROUND_HALF_EVEN))


def lines_of(path: Path) -> dict[str, int]:
    """Nano-USD by model, those of several lines added up. Raises `ValueError` and `OSError`."""
    if path.stat().st_size > BYTES_MAX:
        raise ValueError(f"the invoice has more than {BYTES_MAX >> 20} MiB")
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        rows = csv.DictReader(file)
        try:
            heads = {(head or "").strip().lower().replace(" ", "_"): head for head in rows.fieldnames or ()}
            model, amount = _column(heads, MODEL_WORDS, "model"), _column(heads, AMOUNT_WORDS, "amount")
            lines: dict[str, int] = {}
            for row in rows:
                if not (said := (row[amount] or "").strip()):
                    continue
                name = (row[model] or "").strip()
                lines[name] = lines.get(name, 0) + _of_line(said, rows.line_num)
        except csv.Error as error:
            raise ValueError(f"the invoice is no CSV: {error}") from error
    return lines


def _column(heads: dict[str, str], words: tuple[str, ...], what: str) -> str:
    for word in words:
        if word in heads:
            return heads[word]
    raise ValueError(f"the invoice has no column for the {what}: one of {', '.join(words)}")


def _of_line(text: str, line: int) -> int:
    try:
        return nanousd_of(text)
    except ValueError as error:
        raise ValueError(f"line {line} of the invoice: {error}") from None
