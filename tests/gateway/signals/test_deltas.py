from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from gateway.signals import limit_telemetry, telemetry
from gateway.signals.deltas import Deltas
from gateway.signals.metrics import Registry
from gateway.signals.pushes import LENGTH_BYTES, NUMBER_MAX, Push, framed, read_said

if TYPE_CHECKING:
    from gateway.signals.telemetry import Family

TEAMS, OVERHEAD = telemetry.TEAM_REQUESTS, telemetry.OVERHEAD


def grown(push: Push) -> dict[tuple[str, ...], int]:
    return {(one.name, *growth.labels): growth.by for one in push.counters for growth in one.grown}


def heard(deltas: Deltas) -> Push:
    push = deltas.next()
    deltas.heard(push.number)
    return push


def test_only_what_grew_is_pushed_and_what_is_new_even_at_zero() -> None:
    registry = Registry()
    deltas = Deltas(registry, 1)
    registry.cells(TEAMS).at("a", "ok").inc(3)
    registry.cells(TEAMS).at("b", "ok")
    assert grown(heard(deltas)) == {(TEAMS.name, "a", "ok"): 3, (TEAMS.name, "b", "ok"): 0}
    registry.cells(TEAMS).at("a", "ok").inc(2)
    assert grown(heard(deltas)) == {(TEAMS.name, "a", "ok"): 2}
    assert grown(heard(deltas)) == {}


def test_a_push_stands_until_it_is_heard_and_what_grew_meanwhile_comes_after_it() -> None:
    registry = Registry()
    deltas = Deltas(registry, 1)
    cell = registry.cells(TEAMS).at("a", "ok")
    cell.inc()
    first = deltas.next()
    cell.inc(5)
    deltas.heard(first.number + 1)
    assert deltas.next() is first
    deltas.heard(first.number)
    second = deltas.next()
    assert (second.number, grown(second)) == (first.number + 1, {(TEAMS.name, "a", "ok"): 5})


def test_histograms_push_what_they_saw_and_their_newest_traces() -> None:
    registry = Registry()
    deltas = Deltas(registry, 1)
    waits = registry.histograms(OVERHEAD).at("r")
    waits.observe(0.0004, "t1")
    waits.observe(0.5)
    (first,) = heard(deltas).histograms
    assert (first.seen[0].counts[0], sum(first.seen[0].counts)) == (1, 2)
    assert first.seen[0].exemplars == {0: ("t1", 0.0004)}
    assert heard(deltas).histograms == ()
    waits.observe(0.0004)
    (second,) = heard(deltas).histograms
    assert (second.seen[0].counts[0], sum(second.seen[0].counts), second.seen[0].exemplars) == (1, 1, {})
    assert abs(second.seen[0].sum - 0.0004) < 1e-12


def test_much_is_pushed_in_parts() -> None:
    registry = Registry()
    for number in range(25):
        registry.cells(TEAMS).at(f"team-{number}", "ok").inc()
    deltas = Deltas(registry, 1, series_max=10)
    parts = [grown(heard(deltas)) for _ in range(2)]
    assert deltas.is_behind
    parts.append(grown(heard(deltas)))
    assert not deltas.is_behind
    assert [len(part) for part in parts] == [10, 10, 5]
    assert len({team for part in parts for team in part}) == 25


def test_a_number_that_no_wire_carries_comes_in_two() -> None:
    registry = Registry()
    registry.cells(telemetry.TEAM_COST).at("a", "m").inc(NUMBER_MAX + 5)
    deltas = Deltas(registry, 1)
    assert [sum(grown(heard(deltas)).values()) for _ in range(3)] == [NUMBER_MAX, 5, 0]


def test_counters_that_are_asked_for_push_their_growth_and_begin_anew_where_their_owner_did() -> None:
    registry, now = Registry(), [4]
    registry.sample(telemetry.RETRIES_REFUSED, lambda: [(("a", ""), now[0])])
    deltas = Deltas(registry, 1)
    key = (telemetry.RETRIES_REFUSED.name, "a", "")
    seen = []
    for value in (4, 6, 6, 2):
        now[0] = value
        seen.append(grown(heard(deltas)).get(key))
    assert seen == [4, 2, None, 2]


def test_gauges_are_told_as_they_are_each_time() -> None:
    registry = Registry()
    registry.sample(telemetry.INFLIGHT, lambda: [(("r",), 2)])
    registry.sample(telemetry.DEPLOYMENT_UP, lambda: [(("a",), True)])
    registry.cells(limit_telemetry.LIMIT_RESERVATIONS).at().inc(9)
    deltas = Deltas(registry, 1)
    for _ in range(2):
        told = {one.name: one.values for one in heard(deltas).gauges or ()}
        assert told[telemetry.INFLIGHT.name] == ((("r",), 2),)
        assert told[telemetry.DEPLOYMENT_UP.name] == ((("a",), 1),)
        assert told[limit_telemetry.LIMIT_RESERVATIONS.name] == (((), 9),)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1 << 70, -(1 << 70)])
@pytest.mark.parametrize("family", [telemetry.INFLIGHT, telemetry.RETRIES_REFUSED])
def test_a_number_that_cannot_be_sent_holds_up_no_other(family: Family, value: float) -> None:
    registry = Registry()
    deltas = Deltas(registry, 1)
    registry.cells(TEAMS).at("a", "ok").inc(3)
    labels = ("x",) * len(family.labels)
    registry.sample(family, lambda: [(labels, value), (labels, 2)])
    push = read_said(framed(deltas.next())[LENGTH_BYTES:])
    assert isinstance(push, Push)
    assert grown(push)[TEAMS.name, "a", "ok"] == 3
    if family is telemetry.INFLIGHT:
        assert [one.values for one in push.gauges or () if one.name == family.name] == [((labels, 2),)]
    else:
        assert grown(push)[family.name, *labels] == 2
