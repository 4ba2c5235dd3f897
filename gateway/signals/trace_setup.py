"""The traces that a policy asks for: its destinations with their rules, profiles and senders."""

from __future__ import annotations

import os
import random
import secrets
from typing import TYPE_CHECKING, Final

from gateway.errors import StartError
from gateway.signals.content import ContentCapture
from gateway.signals.kept_traces import Destination, Traces
from gateway.signals.profiles import PROFILES
from gateway.signals.span_export import SpanExport, otlp_sender
from gateway.version import VERSION
from policies.content import ContentRules, bound_of, least
from policies.route_rules import Content

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.telemetry import ContentSettings, OtlpSettings, TelemetrySettings
    from gateway.keys.virtual_keys import Hmac


CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def traces_of(settings: TelemetrySettings, handed_over: Callable[[], int], mac: Hmac) -> Traces | None:
    """None where the policy names no destination. `mac` makes digests of what was said. Raises `StartError`."""
    if not settings.otlp:
        return None
    rules = content_rules(settings.content, os.environ.get(CAPTURE, ""))
    content = None if rules.is_off else ContentCapture(rules, mac)
    rng = random.Random(secrets.randbits(256))  # noqa: S311 - ids must be unique, not secret
    return Traces([_destination(one) for one in settings.otlp], rng, settings.wording, handed_over, content)


def content_rules(settings: ContentSettings, environment: str) -> ContentRules:
    """The policy's, within what the environment allows. Raises `StartError`."""
    try:
        bound = bound_of(environment)
    except ValueError as error:
        raise StartError(f"{CAPTURE} {error}") from None
    most = least(settings.most, bound) or Content.NONE
    return ContentRules(settings.default, most, settings.bytes_max)


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
