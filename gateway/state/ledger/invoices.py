"""What providers billed, beside what the ledger expects: what it lacks was spent elsewhere, or priced wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.state.ledger.reports import Span, spend_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

_NOTE: Final = (
    "INSERT INTO invoices (provider, since_ms, until_ms, nanousd, noted_at_ms) "
    "VALUES (:provider, :since_ms, :until_ms, :nanousd, :noted_at_ms) "
    "ON CONFLICT (provider, since_ms, until_ms) DO UPDATE SET nanousd = excluded.nanousd, "
    "noted_at_ms = excluded.noted_at_ms"
)
_ALL: Final = (
    "SELECT provider, since_ms, until_ms, nanousd, noted_at_ms FROM invoices ORDER BY provider, until_ms, since_ms"
)


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a provider billed for a span, in nano-USD; a later note of the same span takes its place."""

    provider: str
    since_ms: int
    until_ms: int
    nanousd: int
    noted_at_ms: int


@dataclass(frozen=True, slots=True)
class Captured:
    """What the ledger says that a provider will have billed in a span, of one of its models or (None) of all.

    `unpriced_tokens` are in no amount; `invoice_nanousd` is None where no invoice says anything of it.
    """

    model: str | None
    ledger_nanousd: int
    unpriced_tokens: int
    estimated_share: float
    invoice_nanousd: int | None

    @property
    def ratio(self) -> float | None:
        """The part of the invoice that the ledger has; None where nothing was billed."""
        return None if not self.invoice_nanousd else self.ledger_nanousd / self.invoice_nanousd


async def note(connection: AsyncConnection, invoice: Invoice) -> None:
    """Keep an invoice, within the caller's transaction."""
    from sqlalchemy import text  # noqa: PLC0415 - not at start-up

    values = {name: getattr(invoice, name) for name in Invoice.__dataclass_fields__}
    await connection.execute(text(_NOTE), values)


async def noted(connection: AsyncConnection) -> list[Invoice]:
    """All invoices, each provider's in order of their ends."""
    from sqlalchemy import text  # noqa: PLC0415 - as above

    rows = await connection.execute(text(_ALL))
    return [Invoice(str(name), *map(int, numbers)) for name, *numbers in rows]


def latest(invoices: Iterable[Invoice]) -> list[Invoice]:
    """The one of each provider that goes furthest."""
    return list({one.provider: one for one in invoices}.values())


async def captured(connection: AsyncConnection, provider: str, span: Span, nanousd: int | None) -> Captured:
    """What the ledger has of a provider in a span."""
    groups, _ = await spend_by(connection, "provider", span)
    found = next((one for one in groups if one.name == provider), None)
    if found is None:
        return Captured(None, 0, 0, 0.0, nanousd)
    return Captured(None, found.upstream_nanousd or 0, found.unpriced_tokens, found.estimated_share, nanousd)


async def captured_by_model(
    connection: AsyncConnection, provider: str, span: Span, lines: dict[str, int]
) -> list[Captured]:
    """The same of each model that the ledger or the invoice's `lines` name, the dearest on the invoice first."""
    groups, _ = await spend_by(connection, ("provider", "model"), span)
    found = {str(one.names[1]): one for one in groups if one.name == provider}
    models = sorted(found.keys() | lines.keys(), key=lambda model: (-lines.get(model, 0), model))
    return [
        Captured(
            model,
            (found[model].upstream_nanousd or 0) if model in found else 0,
            found[model].unpriced_tokens if model in found else 0,
            found[model].estimated_share if model in found else 0.0,
            lines.get(model),
        )
        for model in models
    ]
