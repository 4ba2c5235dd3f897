from __future__ import annotations

from gateway.signals import vitals_telemetry
from gateway.signals.catalogue import FAMILIES
from gateway.signals.telemetry import Family


def test_its_metrics_are_in_the_catalogue() -> None:
    named = [value for value in vars(vitals_telemetry).values() if isinstance(value, Family)]
    assert named
    assert all(FAMILIES[family.name] is family for family in named)
