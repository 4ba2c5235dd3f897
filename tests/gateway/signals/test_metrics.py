from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signals import telemetry
from gateway.signals.exposition import series_count
from gateway.signals.metrics import Histogram, HistogramValue, Registry, as_scraped
from gateway.signals.telemetry import OVERFLOW, Family, Kind
from gateway.signals.vitals_telemetry import METRIC_SERIES, METRIC_SERIES_LIMIT, SERIES_REJECTED

COUNTER = Family("things_total", Kind.COUNTER, "Things.", ("kind",), cap=3)
LABELLED = Family("labelled_seconds", Kind.HISTOGRAM, "Waits.", ("kind",), (0.1, 1.0))
HISTOGRAM = Family("wait_seconds", Kind.HISTOGRAM, "Waits.", (), (0.1, 1.0))


def test_a_child_is_bound_once_and_found_again() -> None:
    series = Registry().cells(COUNTER)
    series.at("a").inc()
    series.at("a").inc(4)
    assert series.at("a") is series.at("a")
    assert series.at("a").value == 5


def test_beyond_its_cap_a_family_folds_new_labels_into_one_and_counts_them() -> None:
    registry = Registry()
    series = registry.cells(COUNTER)
    for number in range(50):
        series.at(f"kind-{number}").inc()
    assert len(series.children) == 4
    assert series.at(OVERFLOW).value == 47
    rejected = next(taken for taken in registry.snapshot() if taken.family is SERIES_REJECTED)
    assert rejected.values == [(("things_total",), 47)]


def test_the_wrong_number_of_labels_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="things_total has the labels"):
        Registry().cells(COUNTER).at("a", "b")


def test_a_histogram_is_no_counter_and_the_other_way_round() -> None:
    with pytest.raises(ValueError, match="is a histogram"):
        Registry().cells(HISTOGRAM)
    with pytest.raises(ValueError, match="is no histogram"):
        Registry().histograms(COUNTER)


@given(st.lists(st.floats(0, 100)))
def test_each_observation_falls_into_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram((0.1, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    bounds = (0.1, 1.0, 10.0, float("inf"))
    for index, bound in enumerate(bounds):
        assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)


def test_a_snapshot_does_not_move_with_what_comes_after() -> None:
    registry = Registry()
    waits = registry.histograms(HISTOGRAM).at()
    waits.observe(0.05)
    taken = next(taken for taken in registry.snapshot() if taken.family is HISTOGRAM)
    waits.observe(0.05)
    assert taken.values == [((), HistogramValue([1, 0, 0], 0.05, {}))]


def test_a_gauge_that_cannot_be_sampled_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> list[tuple[tuple[str, ...], float]]:
        raise OSError("no /proc here")

    registry = Registry()
    registry.sample(Family("broken", Kind.GAUGE, "Broken."), fail)
    registry.sample(Family("fine", Kind.GAUGE, "Fine."), lambda: [((), 1)])
    own = [family.name for family in (METRIC_SERIES, METRIC_SERIES_LIMIT, SERIES_REJECTED)]
    assert [taken.family.name for taken in registry.snapshot()] == ["fine", *own]
    assert "broken" in caplog.text


def test_a_gateway_s_budget_of_series_holds_for_all_families_together() -> None:
    registry = Registry(series_max=2 + 5)
    counts, waits = registry.cells(COUNTER), registry.histograms(LABELLED)
    counts.at("a").inc()
    waits.at("a").observe(0.05)  # three buckets, sum and count: the seventh series is not reached
    counts.at("b").inc()
    waits.at("b").observe(0.05)
    counts.at("c").inc(3)
    assert set(counts.children) == {("a",), ("b",), (OVERFLOW,)}
    assert set(waits.children) == {("a",), (OVERFLOW,)}
    counts.at("a").inc()
    assert counts.at("a").value == 2
    told = {taken.family.name: dict(taken.values) for taken in registry.snapshot()}
    assert told[SERIES_REJECTED.name] == {("things_total",): 1, ("labelled_seconds",): 1}
    assert told[METRIC_SERIES_LIMIT.name] == {(): 7}


def test_the_number_of_series_is_that_of_the_scrape() -> None:
    registry = Registry()
    registry.cells(COUNTER).at("a")
    registry.histograms(HISTOGRAM).at().observe(1.0)
    taken = registry.snapshot()
    shown = next(found for found in taken if found.family is METRIC_SERIES)
    assert shown.values == [((), sum(found.family.series_each * len(found.values) for found in taken))]


def test_what_is_sampled_apart_is_asked_apart() -> None:
    registry = Registry()
    registry.sample_apart(Family("slow", Kind.GAUGE, "Slow."), lambda: [((), 1)])
    assert "slow" not in {found.family.name for found in registry.copied()}
    assert [found.family.name for found in registry.sampled_apart()] == ["slow"]
    assert "slow" in {found.family.name for found in registry.snapshot()}


def test_scrapes_are_told_the_sum_of_what_otlp_alone_tells_apart() -> None:
    registry = Registry()
    for operation, count in (("chat", 3), ("embeddings", 4)):
        registry.cells(telemetry.TOKENS).at("p", "d", "m", "input", operation).inc(count)
        registry.histograms(telemetry.FIRST_TOKEN).at("p", "d", "m", operation).observe(0.02, f"{count:032x}")
    registry.histograms(telemetry.FIRST_TOKEN).at("p", "d", "m", "chat").observe(100.0, f"{9:032x}")
    scraped = {one.family.name: dict(as_scraped(one).values) for one in registry.snapshot()}
    assert scraped["pointsman_tokens_total"] == {("p", "d", "m", "input"): 7}
    whole = scraped["pointsman_time_to_first_token_seconds"]["p", "d", "m"]
    assert isinstance(whole, HistogramValue)
    assert (sum(whole.counts), whole.counts[1], whole.counts[-1]) == (3, 2, 1)
    assert whole.sum == pytest.approx(100.04)
    assert {trace for trace, _ in whole.exemplars.values()} == {f"{4:032x}", f"{9:032x}"}
    assert scraped[METRIC_SERIES.name] == {(): series_count(registry.snapshot())}
