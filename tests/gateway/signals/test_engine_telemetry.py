from __future__ import annotations

from gateway.signals import engine_telemetry
from gateway.signals.telemetry import Family


def test_all_that_is_told_of_engines_stands_under_one_prefix() -> None:
    families = [value for value in vars(engine_telemetry).values() if isinstance(value, Family)]
    assert len(families) > 10
    assert all(family.name.startswith("pointsman_local_") for family in families)
    assert all(family.labels[0] in ("engine", "deployment") for family in families)
