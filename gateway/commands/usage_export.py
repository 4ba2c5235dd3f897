"""`pointsman usage export`: every attempt of a span into a file, a few thousand at a time, so that any ledger fits.

The file is complete or it is not there: it is written beside its place and moved to it at the end.
"""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway import extras
from gateway.commands.csv_cells import cell_of
from gateway.commands.usage_focus import FOCUS_COLUMNS, focus_lines
from gateway.errors import MissingExtra
from gateway.state.database import Database
from gateway.state.ledger.schema import LedgerError, LedgerRow
from gateway.state.migrating import require_current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from gateway.state.ledger.reports import Span

ROWS_AT_ONCE: Final = 2_000
STDOUT: Final = Path("-")
COLUMNS: Final = {name: "number" if "int" in str(kind) else "text" for name, kind in LedgerRow.__annotations__.items()}


class Sink(Protocol):
    """Where lines go."""

    def write(self, lines: Sequence[Sequence[object]]) -> None: ...

    def close(self) -> None: ...


def export(ledger: str, form: str | None, out: Path, span: Span) -> int:
    """Write the attempts of a span as csv, parquet or focus; without a form as the file's name says. Exit code 2 when
    that cannot be. The file - is standard output.
    """
    try:
        with _replacing(out) as beside:
            is_parquet = form == "parquet" or (form != "csv" and out.suffix == ".parquet")
            columns = FOCUS_COLUMNS if form == "focus" else COLUMNS
            sink = ParquetSink(beside, columns) if is_parquet else CsvSink(beside, columns)
            try:
                lines = asyncio.run(write_all(ledger, span, sink, is_focus=form == "focus"))
            finally:
                sink.close()
    except (LedgerError, MissingExtra, OSError, ValueError) as error:
        # An OSError would name the file that is written beside `out`.
        told = f"{out}: {error.strerror}" if isinstance(error, OSError) and error.strerror else error
        print(f"pointsman usage export: {told}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 2
    if out != STDOUT:
        print(f"{lines} lines in {out}")  # noqa: T201 - as above
    return 0


async def write_all(ledger: str, span: Span, sink: Sink, *, is_focus: bool) -> int:
    """How many lines the attempts of the span made."""
    database = Database(ledger)
    count = 0
    try:
        await require_current(database)
        async for rows in batches(database, span):
            lines: Sequence[Sequence[object]] = rows
            if is_focus:
                lines = [line for row in rows for line in focus_lines(row)]
            sink.write(lines)
            count += len(lines)
    finally:
        await database.close()
    return count


async def batches(database: Database, span: Span) -> AsyncIterator[list[LedgerRow]]:
    """Attempts in the order they began. Each batch is read on its own: a long reader would let SQLite's log grow."""
    from sqlalchemy import text  # noqa: PLC0415 - a command that failed before needs it not

    names = ", ".join(f'"{name}"' for name in LedgerRow._fields)
    statement = text(
        f"SELECT {names} FROM attempts WHERE started_at_ms >= :ms AND started_at_ms < :until "  # noqa: S608 - our words
        "AND (started_at_ms, request_id, attempt) > (:ms, :id, :attempt) "
        f"ORDER BY started_at_ms, request_id, attempt LIMIT {ROWS_AT_ONCE}"
    )
    last: dict[str, Any] = {"ms": span.since_ms, "id": "", "attempt": -1, "until": span.until_ms}
    while True:
        async with database.read() as connection:
            rows = [LedgerRow._make(row) for row in await connection.execute(statement, last)]
        if rows:
            yield rows
        if len(rows) < ROWS_AT_ONCE:
            return
        last |= {"ms": rows[-1].started_at_ms, "id": rows[-1].request_id, "attempt": rows[-1].attempt}


class CsvSink:
    """RFC 4180 in UTF-8, with no cell that a spreadsheet would act upon."""

    def __init__(self, path: Path, columns: dict[str, str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="", errors="replace")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def write(self, lines: Sequence[Sequence[object]]) -> None:
        self._writer.writerows([cell_of(value) for value in line] for line in lines)

    def close(self) -> None:
        self._file.close()


class ParquetSink:
    """One row group per batch. Raises `MissingExtra` where pyarrow is not installed."""

    def __init__(self, path: Path, columns: dict[str, str]) -> None:
        extras.require(extras.PARQUET)
        import pyarrow as pa  # noqa: PLC0415 - an optional part
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        # Decimals hold nano-USD exactly, which doubles do not.
        kinds = {
            "text": pa.string(),
            "number": pa.int64(),
            "decimal": pa.decimal128(38, 15),
            "time": pa.timestamp("ms", "UTC"),
        }
        self._pa = pa
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, lines: Sequence[Sequence[object]]) -> None:
        columns = list(zip(*lines, strict=True))
        arrays = [self._pa.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    if out == STDOUT:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, "export")
            yield whole
            with whole.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        return
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    # Who spent what is not everybody's to read.
    os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield beside
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
