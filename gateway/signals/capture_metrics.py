"""What a scrape reads of providers' invoices beside the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.signals import ledger_telemetry

if TYPE_CHECKING:
    from gateway.signals.metrics import Registry
    from gateway.state.ledger.capture import SpendCapture


def watch_capture(registry: Registry, capture: SpendCapture) -> None:
    """Nothing is told of providers without an invoice, and no ratio of one that billed nothing."""
    registry.sample(
        ledger_telemetry.SPEND_CAPTURE,
        lambda: [((one.provider,), one.ratio) for one in capture.found if one.ratio is not None],
    )
    registry.sample(ledger_telemetry.INVOICE, lambda: [((one.provider,), one.invoice_nanousd) for one in capture.found])
