"""The ledger's table: one row per attempt, in whole numbers. `VERSION` says which layout; later ones migrate it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

VERSION = 2


class LedgerError(Exception):
    """A ledger that cannot be used: what is wrong with it and, where known, what to do."""


class LedgerRow(NamedTuple):
    """One attempt, in the table's column order. `started_at_ms` is Unix time; `cost_nanousd` is None when unpriced.

    Flags are 0 or 1: sqlite3 asks around for how to adapt anything that is not exactly a number or a text. `tags` is a
    JSON array of texts; `charges` a JSON array of [account, window_start_s, amount]: the calendar accounts, named
    "tenant|account", that this attempt was charged to.
    """

    request_id: str
    attempt: int
    started_at_ms: int
    key_id: str | None
    key_name: str | None
    team: str | None
    user: str | None
    route: str | None
    endpoint: str
    model_requested: str
    deployment: str
    provider: str
    model: str
    outcome: str
    status: int
    error_code: str | None
    stream: int
    cancelled: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: int
    cost_nanousd: int | None
    input_nanousd: int | None
    cached_input_nanousd: int | None
    cache_write_nanousd: int | None
    output_nanousd: int | None
    unpriced_reason: str | None
    price_id: str | None
    price_source: str | None
    price_as_of: str | None
    duration_ms: int
    ttft_ms: int | None
    org: str | None = None
    tags: str | None = None
    charges: str | None = None


LARGEST = 2**53
"""Numbers beyond are no count of anything, and sums over them would leave what databases hold."""

_TEXT_OR_NULL = frozenset(
    {"key_id", "key_name", "team", "user", "route", "error_code"}
    | {"unpriced_reason", "price_id", "price_source", "price_as_of"}
    | {"org", "tags", "charges"}
)
_NUMBER_OR_NULL = frozenset(
    {"cost_nanousd", "input_nanousd", "cached_input_nanousd", "cache_write_nanousd", "output_nanousd", "ttft_ms"}
)
_TEXT = frozenset({"request_id", "endpoint", "model_requested", "deployment", "provider", "model", "outcome"})


def storable(row: LedgerRow) -> LedgerRow:
    """The row as any database can hold it: one odd value must not lose what the rest says."""
    return LedgerRow._make(map(_storable, LedgerRow._fields, row))


def _storable(name: str, value: object) -> object:
    if value is None and (name in _TEXT_OR_NULL or name in _NUMBER_OR_NULL):
        return None
    if name in _TEXT or name in _TEXT_OR_NULL:
        text = str(value if value is not None else "").replace("\0", "\N{REPLACEMENT CHARACTER}")
        text = text.encode(errors="replace").decode()
        return text if name != "charges" or _is_charges(text) else None
    whole = int(value) if isinstance(value, int | float) and value == value else 0  # noqa: PLR0124 - NaN differs from itself
    return max(-LARGEST, min(whole, LARGEST))


def _is_charges(text: str) -> bool:
    try:
        charges = msgspec.json.decode(text, type=list[tuple[str, float, int]])
    except ValueError:
        return False
    return all(abs(amount) <= LARGEST for _, _, amount in charges)


def _column(name: str) -> str:
    if name in _TEXT_OR_NULL:
        return f'"{name}" TEXT'
    if name in _NUMBER_OR_NULL:
        return f'"{name}" INTEGER'
    return f'"{name}" {"TEXT" if name in _TEXT else "INTEGER"} NOT NULL'


# Rows lie in the order of their coming; only the key's small index is written at random, which halves the cost of a row
# against WITHOUT ROWID.
_TABLE = f"CREATE TABLE attempts ({', '.join(map(_column, LedgerRow._fields))}, PRIMARY KEY (request_id, attempt))"
CREATE = (
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    f"INSERT INTO schema_version VALUES ({VERSION})",  # noqa: S608 - a number of ours
    _TABLE,
)

ROWS_PER_INSERT = 128


def insert_of(rows: int) -> str:
    """The statement that adds this many rows."""
    marks = f"({', '.join('?' * len(LedgerRow._fields))})"
    return f"INSERT OR IGNORE INTO attempts VALUES {', '.join([marks] * rows)}"  # noqa: S608 - only marks
