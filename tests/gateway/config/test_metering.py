from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.metering import MetricsSettings
from gateway.signals.metrics import SERIES_MAX


def metrics(**stated: Any) -> MetricsSettings:
    return MetricsSettings.model_validate(stated)


def test_without_a_word_metrics_are_for_scrapes_alone() -> None:
    found = metrics()
    assert (found.series_max, found.key_budgets, found.otlp) == (SERIES_MAX, False, None)


def test_a_collector_may_have_them_as_well() -> None:
    found = metrics(max_series=8000, key_budgets=True, otlp={"endpoint": "http://127.0.0.1:4318", "every": "30s"})
    assert (found.series_max, found.key_budgets) == (8000, True)
    assert found.otlp is not None
    assert found.otlp.every_s == 30.0


@pytest.mark.parametrize(
    "stated",
    [
        {"max_series": 0},
        {"max_series": 10_000_000},
        {"max_series": "many"},
        {"key_budgets": "yes"},
        {"otlp": {}},
        {"otlp": {"endpoint": "http://127.0.0.1:4318", "every": "10ms"}},
        {"otlp": {"endpoint": "not a url"}},
        {"per_key": True},
    ],
)
def test_what_makes_no_sense_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        metrics(**stated)
