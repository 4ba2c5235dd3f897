"""One call's rows in the ledger, with the prices that they name, and which call was the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.state.ledger.price_reading import price_from
from gateway.state.ledger.prices import prices_by_id
from gateway.state.ledger.schema import ERRAND_KEY, LedgerRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from policies.tariffs import Price

_NAMES: Final = ", ".join(f'"{name}"' for name in LedgerRow._fields)
_ROWS: Final = f"SELECT {_NAMES} FROM attempts WHERE request_id = :id ORDER BY attempt"  # noqa: S608 - our words
_CALLERS: Final = f"(key_id IS NULL OR substr(key_id, 1, {len(ERRAND_KEY)}) <> '{ERRAND_KEY}')"
_LAST: Final = f"SELECT request_id FROM attempts WHERE {_CALLERS} ORDER BY started_at_ms DESC LIMIT 1"  # noqa: S608 - as above
_GOOD: Final = "('ok', 'cache_hit', 'client_cancelled', 'hedge_lost', 'refused')"
# What upstreams say is wrong with a request is its caller's fault.
_LAST_FAILED: Final = (
    f"SELECT request_id FROM attempts AS a WHERE {_CALLERS} AND outcome NOT IN {_GOOD} "  # noqa: S608 - as above
    "AND NOT (status >= 400 AND status < 500 AND status <> 429) AND NOT EXISTS (SELECT 1 FROM attempts AS b "
    "WHERE b.request_id = a.request_id AND b.outcome IN ('ok', 'client_cancelled')) ORDER BY started_at_ms DESC LIMIT 1"
)


class Found(NamedTuple):
    """Rows by attempt; of a price that the ledger never saw, or not as one, nothing."""

    rows: list[LedgerRow]
    prices: dict[str, Price]


async def rows_of(connection: AsyncConnection, request_id: str) -> Found:
    """No rows where the ledger knows of no attempt."""
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    rows = [LedgerRow(*row) for row in await connection.execute(text(_ROWS), {"id": request_id})]
    told = await prices_by_id(connection, {row.price_id for row in rows if row.price_id is not None})
    read = {name: price_from(name, rates) for name, rates in told.items()}
    return Found(rows, {name: price for name, price in read.items() if price is not None})


async def last_request(connection: AsyncConnection, *, failed: bool) -> str | None:
    """The caller's whose attempt began last; with `failed`, of calls that no deployment answered well."""
    from sqlalchemy import text  # noqa: PLC0415 - as above

    found = (await connection.execute(text(_LAST_FAILED if failed else _LAST))).scalar()
    return None if found is None else str(found)
