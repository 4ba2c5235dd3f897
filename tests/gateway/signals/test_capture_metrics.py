from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.signals.capture_metrics import watch_capture
from gateway.signals.metrics import Registry
from gateway.state.ledger.capture import Capture, SpendCapture

if TYPE_CHECKING:
    from gateway.state.database import Database


def test_what_was_found_last_is_told() -> None:
    registry, capture = Registry(), SpendCapture(cast("Database", None))
    watch_capture(registry, capture)
    told = {one.family.name: one.values for one in registry.snapshot()}
    assert told["pointsman_spend_capture_ratio"] == told["pointsman_provider_invoice_usd"] == []
    capture.found = [Capture("openai", 700, 0.5), Capture("azure", 0, None)]
    told = {one.family.name: one.values for one in registry.snapshot()}
    assert told["pointsman_spend_capture_ratio"] == [(("openai",), 0.5)]
    assert told["pointsman_provider_invoice_usd"] == [(("openai",), 700), (("azure",), 0)]
