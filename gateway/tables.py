"""Tables for people: as wide as the terminal, or as wide as they need where nobody looks."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.scrubbing import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP: Final = "  "
NARROWEST: Final = 6


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], width: int | None = None) -> str:
    """The rows under their heads. Where `width` is too little, the widest columns are cut until it fits."""
    lines = [list(heads), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    while width is not None and sum(widths) + len(GAP) * (len(widths) - 1) > width:
        widest = widths.index(max(widths))
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return "\n".join(GAP.join(map(_fit, line, widths)).rstrip() for line in lines)


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """The rows as lines, no column cut: so many columns to the left, the others, which are numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.ljust if column < left else str.rjust for column in range(len(widths))]
    lines = [[pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)] for row in rows]
    return [GAP.join(line).rstrip() for line in lines]


def cell(value: object) -> str:
    """A value on one line, with nothing in it that a terminal would act upon."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return printable(",".join(map(str, value)))
    return printable(str(value))


def day(unix_ms: int | None) -> str | None:
    """To the minute, in UTC."""
    return None if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def terminal_width() -> int | None:
    """None where nobody looks: a script wants all of it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
