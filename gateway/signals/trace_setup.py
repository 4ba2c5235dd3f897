"""The traces that a policy asks for: its destinations with their rules, profiles and senders."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING

from gateway.signals.kept_traces import Destination, Traces
from gateway.signals.profiles import PROFILES
from gateway.signals.span_export import SpanExport, otlp_sender
from gateway.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.telemetry import OtlpSettings, TelemetrySettings


def traces_of(settings: TelemetrySettings, handed_over: Callable[[], int]) -> Traces | None:
    """None where the policy names no destination. Raises `MissingExtra`."""
    if not settings.otlp:
        return None
    rng = random.Random(secrets.randbits(256))  # noqa: S311 - ids must be unique, not secret
    return Traces([_destination(one) for one in settings.otlp], rng, settings.wording, handed_over)


def _destination(settings: OtlpSettings) -> Destination:
    headers = {name: value.reveal() for name, value in settings.headers.items()}
    sender = otlp_sender(settings.endpoint, headers, VERSION)
    return Destination(settings.sample.rules, SpanExport(sender, PROFILES[settings.profile], settings.called))


def dropped_by(traces: Traces | None) -> list[tuple[tuple[str, ...], float]]:
    """Spans thrown away, by signal: `traces`, and its destination where there are several."""
    if traces is None:
        return [(("traces",), 0)]
    exports = [one.export for one in traces.destinations]
    if len(exports) == 1:
        return [(("traces",), exports[0].dropped)]
    return [((f"traces:{export.name}",), export.dropped) for export in exports]
