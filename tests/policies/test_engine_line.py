from __future__ import annotations

from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.batching import Budget
from policies.engine_line import (
    LEAST_RETRY_AFTER_S,
    UNKNOWN_WAIT_S,
    Ahead,
    EngineNow,
    expected_wait_s,
    full_line_retry_after_s,
    newcomer_wait_s,
    retry_after_s,
    slot_interval_s,
)
from tests.policies.engine_world import EngineWorld, Request

FULL = EngineNow(slots=4, running=4, read_tokens_per_s=100.0, run_s=8.0, shared_by=4.0)

ENGINES = st.builds(
    EngineNow,
    slots=st.integers(1, 32),
    running=st.integers(0, 32),
    reading_tokens=st.integers(0, 10_000),
    read_tokens_per_s=st.floats(0.0, 1e5),
    run_s=st.floats(0.0, 1e3),
    shared_by=st.floats(0.0, 32.0),
)


def test_a_free_slot_is_no_wait() -> None:
    assert expected_wait_s(Ahead(), FULL._replace(running=3)) == 0.0
    assert expected_wait_s(Ahead(runs=1), FULL._replace(running=2)) == 0.0


def test_a_full_engine_frees_a_slot_every_nth_part_of_a_run() -> None:
    assert slot_interval_s(FULL) == 2.0
    assert expected_wait_s(Ahead(), FULL) == 2.0
    assert expected_wait_s(Ahead(runs=3), FULL) == 8.0


def test_runs_that_were_alone_so_far_take_longer_together() -> None:
    assert slot_interval_s(FULL._replace(shared_by=1.0)) == pytest.approx(2.0 * 4 ** (2 / 3))


def test_no_line_moves_faster_than_prompts_are_read() -> None:
    assert expected_wait_s(Ahead(), FULL._replace(reading_tokens=4000)) == 10.0
    assert expected_wait_s(Ahead(runs=8, prompt_tokens=8000), FULL._replace(run_s=0.0)) == 50.0


def test_nothing_is_foretold_of_an_engine_that_measured_nothing() -> None:
    assert expected_wait_s(Ahead(5, 5000), EngineNow(slots=1, running=1)) == 0.0
    assert full_line_retry_after_s(EngineNow(), 2) == 2 * UNKNOWN_WAIT_S


@given(st.integers(0, 100), st.integers(0, 100_000), ENGINES)
def test_more_in_front_is_never_a_shorter_wait(runs: int, tokens: int, engine: EngineNow) -> None:
    wait_s = expected_wait_s(Ahead(runs, tokens), engine)
    assert 0.0 <= wait_s <= expected_wait_s(Ahead(runs + 1, tokens + 50 * (tokens // max(1, runs))), engine) + 1e-6
    assert wait_s <= expected_wait_s(Ahead(runs, tokens), engine._replace(run_s=engine.run_s * 2)) + 1e-6


def test_who_comes_again_as_told_would_be_let_in() -> None:
    assert retry_after_s(12.0, 5.0) == 7.0
    assert retry_after_s(5.0, 5.0) == LEAST_RETRY_AFTER_S
    assert full_line_retry_after_s(FULL, 1) == 2.0


def test_runs_that_have_just_begun_leave_later_than_their_turn() -> None:
    assert expected_wait_s(Ahead(seated_s=4.0), FULL) == 2.0
    assert expected_wait_s(Ahead(seated_s=0.0), FULL) == 8.0
    assert expected_wait_s(Ahead(runs=3, seated_s=0.0), FULL) == 8.0


def requests(seed: int, per_s: float, *, seconds: float) -> list[Request]:
    rng = Random(seed)
    result, now = [], 0.0
    while (now := now + rng.expovariate(per_s)) < seconds:
        prompt = tuple(rng.randrange(1 << 30) for _ in range(rng.choice([30, 100, 400])))
        result.append(Request(arrives_s=now, prompt=prompt, writes=rng.choice([20, 60, 120])))
    return result


@pytest.mark.parametrize(("slots", "per_s"), [(1, 3.0), (4, 5.0), (8, 6.0), (16, 6.0)])
def test_waits_are_as_foretold_under_a_load_that_goes_on(slots: int, per_s: float) -> None:
    world = EngineWorld(slots, Budget(256, 0.1))
    coming = requests(slots, per_s, seconds=40.0)
    world.serve(coming)
    ratios = [
        world.promised_s[number] / (world.began_s[number] - request.arrives_s)
        for number, request in enumerate(coming)
        if number > 3 * slots and world.began_s[number] - request.arrives_s > 0.5
    ]
    assert len(ratios) > 20
    assert 0.75 < median(ratios) < 1.33
    assert sum(0.5 < ratio < 2.0 for ratio in ratios) > 0.9 * len(ratios)


@pytest.mark.parametrize("spread", [0, 50])
@pytest.mark.parametrize("slots", [4, 8])
def test_a_burst_after_quiet_is_foretold_within_a_factor(slots: int, spread: int) -> None:
    """What was measured with one run at a time says what many at a time will take."""
    world = EngineWorld(slots, Budget(256, 0.1))
    quiet = [Request(arrives_s=index * 2.0, prompt=(index,) * 100, writes=60) for index in range(10)]
    burst = [
        Request(arrives_s=30.0 + index / 1e3, prompt=(-index,) * 100, writes=60 + spread * (index % 3 - 1))
        for index in range(1, 40)
    ]
    world.serve(quiet + burst)
    ratios = [
        world.promised_s[number] / (world.began_s[number] - request.arrives_s)
        for number, request in enumerate(quiet + burst)
        if world.began_s[number] - request.arrives_s > 0.5
    ]
    assert len(ratios) > 20
    assert all(0.5 < ratio < 2.0 for ratio in ratios)


@pytest.mark.parametrize(
    ("runs", "engine", "wait_s"),
    [
        (0, EngineNow(slots=2, running=1), 0.0),
        (0, EngineNow(slots=2, running=2), None),
        (1, EngineNow(slots=2, running=1), None),
        (0, EngineNow(slots=2, running=2, run_s=3.0, shared_by=2.0), 1.5),
        (3, EngineNow(slots=2, running=2, run_s=3.0, shared_by=2.0), 6.0),
    ],
)
def test_who_chooses_hears_where_nothing_is_known(runs: int, engine: EngineNow, wait_s: float | None) -> None:
    assert newcomer_wait_s(Ahead(runs), engine) == wait_s
