"""The prices that rows name by id, kept beside them: a cost stays explainable when the policy has long had another.

A price is written once, in the transaction of the first rows after it was noted, and never changes: an id never means
two sets of rates.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from policies.tariffs import Price, Rates, Tariff

PriceRow = tuple[str, str, int]
"""Id, rates as JSON, and when it was first seen, in Unix milliseconds."""

IDS_PER_SELECT: Final = 100
_encode: Final = msgspec.json.Encoder().encode
_ONCE: Final = "INSERT INTO prices (id, rates, first_seen_ms) VALUES ({marks}) ON CONFLICT (id) DO NOTHING"
_INSERT: Final = {"sqlite": _ONCE.format(marks="?, ?, ?"), "postgresql": _ONCE.format(marks="$1, $2, $3")}


class PriceBook:
    """Prices on their way to SQL: the event loop notes them, the writer's thread takes them, each once a process."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._waiting: dict[str, PriceRow] = {}

    def note(self, price: Price) -> None:
        """Called with every price that anything is to cost; a known one costs a look-up."""
        if price.id in self._known:
            return
        self._known.add(price.id)
        self._waiting[price.id] = (price.id, rates_of(price), int(time.time() * 1000))

    @property
    def waiting(self) -> list[PriceRow]:
        """In the order of their ids, so that nodes which write the same ones never wait for each other in a circle."""
        return sorted(self._waiting.copy().values())

    def written(self, rows: Collection[PriceRow]) -> None:
        for row in rows:
            self._waiting.pop(row[0], None)


def rates_of(price: Price) -> str:
    """The price as a JSON object, for people to recompute costs by: nano-USD per million tokens, or per one request
    or search.
    """
    told: dict[str, object] = {"source": price.source, "as_of": price.as_of, "version": price.version}
    told |= _base_rates(price)
    if price.tiers:
        told["tiers"] = [{"above_input_tokens": tier.above_input_tokens, **_rates(tier.rates)} for tier in price.tiers]
    if price.services:
        told["services"] = {name: _tariff(tariff) for name, tariff in price.services}
    if price.adjusted is not None:
        told["adjusted"] = price.adjusted._asdict()
    if price.upstream is not None:
        told["upstream"] = {"id": price.upstream.id, **msgspec.json.decode(rates_of(price.upstream))}
    return _encode({name: value for name, value in told.items() if value not in (None, "")}).decode()


def insert(connection: Connection, rows: Sequence[PriceRow]) -> None:
    """Within the caller's transaction; those that are there stay as they are."""
    if rows:
        connection.exec_driver_sql(_INSERT[connection.dialect.name], list(rows))


async def prices_by_id(connection: AsyncConnection, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """What the ledger knows of these prices, as `rates_of` tells it; those that it has never seen are left out."""
    from sqlalchemy import bindparam, text  # noqa: PLC0415 - not at start-up

    statement = text("SELECT id, rates FROM prices WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
    wanted, found = list(ids), {}
    for start in range(0, len(wanted), IDS_PER_SELECT):
        for name, rates in await connection.execute(statement, {"ids": wanted[start : start + IDS_PER_SELECT]}):
            found[str(name)] = msgspec.json.decode(rates)
    return found


def _base_rates(price: Price) -> dict[str, int]:
    rates = {
        "input_nanousd": price.input_nanousd,
        "cached_input_nanousd": price.cached_input_nanousd,
        "cache_write_nanousd": price.cache_write_nanousd,
        "output_nanousd": price.output_nanousd,
        **(price.rare._asdict() if price.rare is not None else {}),
    }
    return {name: rate for name, rate in rates.items() if rate is not None}


def _rates(rates: Rates) -> dict[str, int]:
    told = rates._asdict() | (rates.rare._asdict() if rates.rare is not None else {})
    return {name: rate for name, rate in told.items() if name != "rare" and rate is not None}


def _tariff(tariff: Tariff) -> dict[str, object]:
    tiers = [{"above_input_tokens": tier.above_input_tokens, **_rates(tier.rates)} for tier in tariff.tiers]
    return {**_rates(tariff.rates), **({"tiers": tiers} if tiers else {})}
