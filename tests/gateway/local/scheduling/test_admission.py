"""Who comes and goes, seen through a whole engine with a tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import Delta, Event, Failed, Job, Place, Started
from tests.gateway.local.scheduling.engine_rig import GREEDY, Rig, tuned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.binding.llama import Model
    from gateway.local.preparing.prepare import Handle

LONG = "The quick brown fox jumps over the lazy dog. " * 6


@pytest.fixture
def rig(tiny_model: Model) -> Iterator[Rig]:
    with Rig(tiny_model, tuned(slots=2)) as rig:
        yield rig


def test_whoever_is_cancelled_while_writing_leaves_within_one_step(rig: Rig) -> None:
    handles: dict[int, Handle] = {}

    def cancel_at_first_token(event: Event) -> None:
        if isinstance(event, Delta) and event.job == 1:
            handles[1].cancelled = True

    rig.on_event = cancel_at_first_token
    handles[1] = rig.submit(Job(1, prompt="Once", sampling=GREEDY))
    rig.run(Job(2, prompt="Next", sampling=GREEDY, max_tokens=20))
    assert sum(isinstance(event, Delta) and event.job == 1 for event in rig.events) <= 2
    assert rig.ends(1) == []
    rig.at_rest()


def test_whoever_is_cancelled_while_reading_reads_no_further(rig: Rig) -> None:
    handles: dict[int, Handle] = {}

    def cancel_at_start(event: Event) -> None:
        if isinstance(event, Started) and event.job == 1:
            handles[1].cancelled = True

    rig.on_event = cancel_at_start
    handles[1] = rig.submit(Job(1, prompt=LONG, sampling=GREEDY, max_tokens=1))
    rig.run(Job(2, prompt="Next", sampling=GREEDY, max_tokens=1))
    assert [event for event in rig.events if event.job == 1] == [rig.started(1)]
    assert rig.engine.standing().read_tokens < rig.started(1).prompt_tokens
    rig.at_rest()


def test_whoever_is_cancelled_in_line_never_starts(rig: Rig) -> None:
    jobs = [Job(number, prompt=f"{number}", sampling=GREEDY, max_tokens=3) for number in range(4)]
    handles = [rig.submit(job) for job in jobs]
    handles[3].cancelled = True
    assert rig.engine.busy
    rig.until(lambda: all(rig.is_over(job) for job in jobs[:3]))
    assert {event.job for event in rig.events} == {0, 1, 2}
    rig.at_rest()


def test_a_cancelled_reader_leaves_its_choices_and_others_nothing_to_wait_for(rig: Rig) -> None:
    """The first of two choices is cancelled while the second, and another with the same beginning, wait for it."""
    handles: dict[int, Handle] = {}

    def cancel_at_start(event: Event) -> None:
        if isinstance(event, Started) and event.job == 1:
            handles[1].cancelled = True

    rig.on_event = cancel_at_start
    handles[1] = rig.submit(Job(1, prompt=LONG, sampling=GREEDY, max_tokens=2, choices=2))
    rig.run(Job(2, prompt=LONG, sampling=GREEDY, max_tokens=2))
    assert rig.ends(1) == []
    rig.at_rest()


def test_cold_jobs_with_one_beginning_read_it_once(rig: Rig) -> None:
    rig.run(*[Job(number, prompt=f"{LONG} {number}", sampling=GREEDY, max_tokens=2) for number in range(4)])
    whole = rig.started(0).prompt_tokens
    assert rig.started(0).cached_tokens == 0
    assert all(rig.started(number).cached_tokens > 0.9 * whole for number in range(1, 4))
    assert rig.engine.standing().read_tokens < 1.3 * whole
    rig.at_rest()


def test_a_beginning_is_taken_from_a_busy_slot(rig: Rig) -> None:
    second = Job(2, prompt=LONG, sampling=GREEDY, max_tokens=2)

    def follow(event: Event) -> None:
        if isinstance(event, Delta) and event.job == 1 and rig.engine.steps > 8 and not started:
            started.append(1)
            rig.submit(second)

    started: list[int] = []
    rig.on_event = follow
    first = Job(1, prompt=LONG, sampling=GREEDY, max_tokens=60)
    rig.submit(first)
    rig.until(lambda: rig.is_over(first) and rig.is_over(second))
    assert rig.started(2).cached_tokens == rig.started(2).prompt_tokens - 1
    assert rig.texts(second)[0] == rig.texts(first)[0][: len(rig.texts(second)[0])]
    rig.at_rest()


def test_tenants_share_no_beginnings(rig: Rig) -> None:
    rig.run(Job(1, prompt=LONG, sampling=GREEDY, max_tokens=1, place=Place(scope="one")))
    rig.run(Job(2, prompt=LONG, sampling=GREEDY, max_tokens=1, place=Place(scope="two")))
    rig.run(Job(3, prompt=LONG, sampling=GREEDY, max_tokens=1, place=Place(scope="one")))
    assert [rig.started(number).cached_tokens > 0 for number in (1, 2, 3)] == [False, False, True]


def test_whoever_is_too_late_is_told_once(rig: Rig) -> None:
    jobs = [Job(number, prompt=f"{number}", sampling=GREEDY, max_tokens=200) for number in range(2)]
    late = Job(9, prompt="Late", sampling=GREEDY, choices=3, place=Place(patience_s=0.005))
    for job in [*jobs, late]:
        rig.submit(job)
    rig.until(lambda: all(map(rig.is_over, [*jobs, late])))
    (end,) = rig.ends(9)
    assert isinstance(end, Failed)
    assert (end.status, end.code) == (503, "engine_busy")
    rig.at_rest()


def test_a_line_that_is_full_refuses_at_once(tiny_model: Model) -> None:
    with Rig(tiny_model, tuned(slots=1), max_waiting=1) as rig:
        jobs = [Job(number, prompt=f"{number}", sampling=GREEDY, max_tokens=2) for number in range(3)]
        for job in jobs:
            rig.submit(job)
        (refusal,) = rig.ends(2)
        assert isinstance(refusal, Failed)
        assert (refusal.status, refusal.code) == (503, "engine_busy")
        rig.until(lambda: all(map(rig.is_over, jobs)))
        rig.at_rest()


def test_the_more_important_go_first(tiny_model: Model) -> None:
    with Rig(tiny_model, tuned(slots=1)) as rig:
        for number, priority in enumerate([1, 1, 5]):
            place = Place(priority=priority)
            rig.submit(Job(number, prompt=f"{number}", sampling=GREEDY, max_tokens=2, place=place))
        rig.until(lambda: len([event for event in rig.events if isinstance(event, Started)]) == 3)
        assert [event.job for event in rig.events if isinstance(event, Started)] == [2, 0, 1]
