"""Values as cells of a CSV file, with none that a spreadsheet would act upon."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

_ACTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would compute instead of show."""


def cell_of(value: object) -> object:
    """A value as a CSV cell; a text that a spreadsheet would take for a formula gets a quotation mark before it."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_ACTS) else value
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
