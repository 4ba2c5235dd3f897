"""Every metric family there is, by name, whichever module names it."""

from __future__ import annotations

from typing import Final

from gateway.signals import (
    cache_telemetry,
    engine_telemetry,
    ledger_telemetry,
    limit_telemetry,
    telemetry,
    vitals_telemetry,
)
from gateway.signals.telemetry import Family

SOURCES: Final = (telemetry, limit_telemetry, cache_telemetry, engine_telemetry, ledger_telemetry, vitals_telemetry)
"""By subject, in the order of the reference."""

FAMILIES: Final[dict[str, Family]] = {
    family.name: family for names in SOURCES for family in vars(names).values() if isinstance(family, Family)
}
