from __future__ import annotations

from gateway.signals import cache_telemetry
from gateway.signals.telemetry import Family


def test_all_that_is_told_of_caches_stands_under_one_prefix() -> None:
    families = [value for value in vars(cache_telemetry).values() if isinstance(value, Family)]
    assert len(families) > 20
    assert all(family.name.startswith("pointsman_cache_") for family in families)
    assert all(len(family.labels) <= 3 for family in families)
