"""`pointsman prices update --from FILE`: a new table of the one in use and a file of prices. Nothing is fetched."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.commands.prices_diff import read_table, text
from gateway.data_files import newest_table
from gateway.prices.comparing import GREAT_FACTOR, compared, in_force
from gateway.prices.lines import Model, render
from gateway.prices.table import PriceTable, day_s
from gateway.prices.updating import BYTES_MAX, read, updated
from gateway.scrubbing import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.prices.comparing import Change
    from gateway.prices.lines import Table

OK: Final = 0
REFUSED: Final = 2
PROBLEM_CHARS: Final = 500


def run(source: Path, out: Path | None, *, is_dry: bool, today: str | None = None) -> int:
    """0, or 2 where the file is refused or the table cannot be written; nothing is written then."""
    today = today or f"{datetime.now(UTC):%Y-%m-%d}"
    out = out or Path(f"prices-{today}.json")
    try:
        old = (read_table(out) if out.exists() else PriceTable.load(newest_table("prices"))).table()
        with source.open("rb") as file:
            found = read(file.read(BYTES_MAX + 1), today)
        new = updated(old, found, today)
        changes = compared(*(in_force(_models(one), day_s(today)) for one in (old, new)))
        PriceTable.of_bytes(render(new)).table()  # what is written can be read back
        _tell(changes, f"{source}: {found.form}")
        if not is_dry:
            write(out, render(new))
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"pointsman prices update: {printable(str(problem), PROBLEM_CHARS)}\n")
        return REFUSED
    sys.stderr.write("nothing was written\n" if is_dry else f"{out}: name it in the policy, as prices: {{file: ...}}\n")
    return OK


def _models(table: Table) -> Iterator[Model]:
    return (Model(provider, name, lines) for provider, known in table.models.items() for name, lines in known.items())


def _tell(changes: list[Change], what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stdout.write(text(changes) + "\n")
    for change in changes:
        for rate in change.rates:
            if rate.is_great:
                name = printable(f"{change.provider}/{change.model}")
                told = f"{rate.word} from {rate.before:f} to {rate.after:f} USD"
                sys.stderr.write(f"warning: {name}: {told}, more than {GREAT_FACTOR} times another\n")


def write(path: Path, content: bytes) -> None:
    """All of it or nothing: a gateway may read the file at this moment."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
