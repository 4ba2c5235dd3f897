from __future__ import annotations

from gateway.signals import telemetry, vitals_telemetry
from gateway.signals.catalogue import FAMILIES
from gateway.signals.metrics import SERIES_MAX
from scripts.make_metrics import PATH, page, series_of, unit_of


def test_the_reference_is_what_the_code_says() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run: python scripts/make_metrics.py"


def test_each_metric_is_in_it_once() -> None:
    rows = [line.split("`")[1] for line in page().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(FAMILIES)


def test_units_are_read_from_names() -> None:
    assert unit_of(telemetry.COST) == "USD"
    assert unit_of(telemetry.REQUEST_DURATION) == "s"
    assert unit_of(vitals_telemetry.PROCESS_RSS) == "bytes"
    assert unit_of(telemetry.REQUESTS) == ""


def test_a_gateway_of_usual_size_stays_under_the_alert() -> None:
    assert 5_000 < sum(map(series_of, FAMILIES.values())) < SERIES_MAX * 0.7
