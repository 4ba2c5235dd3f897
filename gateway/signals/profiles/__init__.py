"""What a destination calls things, beside OpenTelemetry's names and ours: pure functions of a span, one for each.

Costs have no convention, and backends that are not told work them out from price lists of their own, or show none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.profiles.langfuse import langfuse
from gateway.signals.profiles.mlflow import mlflow
from gateway.signals.profiles.openinference import openinference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.signals.span_values import Span

PROFILES: Final[Mapping[str, Callable[[Span], Span] | None]] = {
    "plain": None,
    "openinference": openinference,
    "mlflow": mlflow,
    "langfuse": langfuse,
}
