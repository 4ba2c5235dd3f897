from __future__ import annotations

import pytest

from gateway.local.scheduling.gauges import CallTimes, Gauges, Mean


def test_nothing_measured_is_nothing() -> None:
    assert Mean().value == 0.0
    assert Gauges().pace() == (0.0, 0.0)


def test_a_mean_forgets_slowly() -> None:
    mean = Mean()
    for value in [1.0] * 50 + [3.0] * 20:
        mean.add(value)
    assert 2.0 < mean.value < 3.0
    for _ in range(200):
        mean.add(3.0)
    assert mean.value == pytest.approx(3.0, abs=1e-3)


def test_a_pace_is_tokens_over_their_time() -> None:
    """Many short reads weigh no more than the time they took."""
    gauges = Gauges()
    gauges.read(500, 1.0)
    gauges.read(1, 0.01)
    gauges.wrote(16, 0.04)
    assert gauges.pace().read_tokens_per_s == pytest.approx(496, rel=0.02)
    assert gauges.pace().write_step_s == pytest.approx(0.04)
    assert gauges.writing.value == pytest.approx(400)
    assert gauges.read_tokens == 501


def test_what_was_not_computed_is_pythons() -> None:
    gauges = Gauges()
    gauges.stepped(0.005, 0.0048)
    assert gauges.python_s.value == pytest.approx(0.0002)
    assert gauges.steps == 1


def test_times_of_calls_are_kept_by_rows() -> None:
    times = CallTimes()
    for rows, duration_s in [(1, 0.01), (1, 0.03), (8, 0.04), (200, 0.2), (250, 0.3)]:
        times.note(rows, duration_s)
    by_rows = times.by_rows()
    assert sorted(by_rows) == [1, 8, 226]
    assert by_rows[8] == 0.04
    assert 0.01 < by_rows[1] < 0.03


def test_a_size_not_seen_for_long_is_forgotten() -> None:
    times = CallTimes()
    times.note(8, 99.0)
    for _ in range(600):
        times.note(1, 0.01)
    assert list(times.by_rows()) == [1]
