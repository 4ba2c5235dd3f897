from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signals.exposition import render
from gateway.signals.metrics import Registry
from gateway.signals.telemetry import Family, Kind
from gateway.watching.scraped import Movement, Scrape, bucket_quantile, read_scrape, total

HITS = Family("hits_total", Kind.COUNTER, "Hits.", ("route", "outcome"))
SECONDS = Family("took_seconds", Kind.HISTOGRAM, "Time.", ("route",), (0.1, 1.0, 10.0))


def scrape(registry: Registry, at_s: float) -> Scrape:
    return read_scrape(render(registry.snapshot()).decode(), at_s)


@given(st.text(min_size=1, max_size=40), st.integers(0, 10**12))
def test_what_a_gateway_renders_is_read_back(label: str, count: int) -> None:
    registry = Registry()
    registry.cells(HITS).at(label, "ok").inc(count)
    moved = Movement(None, scrape(registry, 0.0))
    assert moved.level("hits_total", "route") == {label: float(count)}


def test_rates_are_by_label_and_only_of_what_is_asked_for() -> None:
    registry = Registry()
    hits = registry.cells(HITS)
    hits.at("a", "ok").inc(5)
    before = scrape(registry, 100.0)
    hits.at("a", "ok").inc(20)
    hits.at("b", "ok").inc(10)
    hits.at("b", "failed").inc(2)
    moved = Movement(before, scrape(registry, 110.0))
    assert moved.rate("hits_total", "route") == {"a": 2.0, "b": 1.2}
    assert moved.rate("hits_total", "route", {"outcome": "failed"}) == {"b": 0.2}
    assert total(moved.increase("hits_total")) == 32


def test_a_counter_that_went_back_began_anew() -> None:
    before = read_scrape("hits_total 100\n", 0.0)
    assert Movement(before, read_scrape("hits_total 7\n", 1.0)).increase("hits_total") == {"": 7.0}


def test_one_scrape_alone_tells_of_no_movement() -> None:
    moved = Movement(None, read_scrape('hits_total 100\ntook_seconds_bucket{le="+Inf"} 3\n', 0.0))
    assert moved.rate("hits_total") == {}
    assert moved.quantile(0.5, "took_seconds") == {}
    assert moved.level("hits_total") == {"": 100.0}


def test_quantiles_are_of_the_time_between() -> None:
    registry = Registry()
    took = registry.histograms(SECONDS).at("a")
    for _ in range(1000):
        took.observe(5.0)
    before = scrape(registry, 0.0)
    for _ in range(10):
        took.observe(0.05)
    moved = Movement(before, scrape(registry, 1.0))
    assert moved.quantile(0.5, "took_seconds", "route") == {"a": pytest.approx(0.05)}


@pytest.mark.parametrize(
    ("q", "reached", "expected"),
    [
        (0.5, {}, None),
        (0.5, {1.0: 0.0, math.inf: 0.0}, None),
        (0.5, {1.0: 10.0, math.inf: 10.0}, 0.5),
        (0.9, {1.0: 5.0, 2.0: 10.0, math.inf: 10.0}, 1.8),
        (0.99, {1.0: 5.0, math.inf: 10.0}, 1.0),
        (0.0, {1.0: 0.0, 2.0: 4.0, math.inf: 4.0}, 1.0),
    ],
)
def test_quantiles_are_reckoned_as_prometheus_does(
    q: float, reached: dict[float, float], expected: float | None
) -> None:
    found = bucket_quantile(q, reached)
    assert found == (None if expected is None else pytest.approx(expected))


@given(st.text(max_size=300))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    for values in read_scrape(text, 0.0).series.values():
        assert all(isinstance(value, float) for value in values.values())


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e308", "-1e300"])
def test_a_number_beyond_all_measure_is_left_out(value: str) -> None:
    assert read_scrape(f'a{{b="c"}} {value}\na{{b="d"}} 2\n', 0.0).series == {"a": {(("b", "d"),): 2.0}}
