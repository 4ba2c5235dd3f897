from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Job, Sampling, Started
from tests.gateway.local.scheduling.engine_rig import GREEDY, Rig, tuned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.local.binding.llama import Model
    from gateway.local.preparing.prepare import Handle

LONG = "The quick brown fox jumps over the lazy dog. " * 4


@pytest.fixture
def rig(tiny_model: Model) -> Iterator[Rig]:
    with Rig(tiny_model) as rig:
        yield rig


def test_a_job_starts_speaks_and_finishes(rig: Rig) -> None:
    ((text,),) = rig.run(Job(1, prompt="Once upon a time", sampling=GREEDY, max_tokens=5))
    started, *deltas, finished = rig.events
    assert isinstance(started, Started)
    assert (started.job, started.cached_tokens) == (1, 0)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.completion_tokens) == ("length", 5)
    assert all(isinstance(event, Delta) for event in deltas)
    assert sum(event.tokens for event in deltas if isinstance(event, Delta)) == 5
    assert len(text) >= 5
    rig.at_rest()


def test_jobs_share_their_steps(rig: Rig) -> None:
    """Four jobs of twenty tokens take about as many steps as one."""
    rig.run(*[Job(number, prompt=f"{number}: ", sampling=GREEDY, max_tokens=20) for number in range(1, 5)])
    assert rig.engine.steps < 30
    assert rig.engine.standing().written_tokens == 80


def test_events_of_a_step_are_one_list(tiny_model: Model) -> None:
    sizes = []
    with Rig(tiny_model) as rig:
        note, rig.engine._computing._emit = rig._note, lambda events: (sizes.append(len(events)), note(events))  # type: ignore[assignment, func-returns-value]
        rig.run(*[Job(number, prompt=f"{number}: ", sampling=GREEDY, max_tokens=9) for number in range(1, 5)])
    assert sizes.count(4) >= 5
    assert len(sizes) < 16


def test_more_choices_than_slots_share_the_prompt_and_differ(tiny_model: Model) -> None:
    """They are what each of them would be alone; all but the first need not read the prompt."""
    with Rig(tiny_model, tuned(slots=3)) as rig:
        (texts,) = rig.run(Job(1, prompt=LONG, sampling=Sampling(seed=1), max_tokens=8, choices=7))
        assert len(set(texts)) == 7
        assert rig.engine.standing().read_tokens < 1.5 * rig.started(1).prompt_tokens
        ((fifth,),) = rig.run(Job(2, prompt=LONG, sampling=Sampling(seed=5), max_tokens=8))
        assert fifth == texts[4]
        rig.at_rest()


def test_a_stop_string_ends_the_text_before_itself(rig: Rig) -> None:
    ((whole,),) = rig.run(Job(1, prompt="Once upon a time", sampling=GREEDY, max_tokens=12))
    stop = whole[6:10]
    ((cut,),) = rig.run(Job(2, prompt="Once upon a time", sampling=GREEDY, max_tokens=12, stop=(stop,)))
    assert cut == whole[: whole.index(stop)]
    (end,) = rig.ends(2)
    assert isinstance(end, Finished)
    assert end.reason == "stop"


def test_logprobs_come_with_their_text(rig: Rig) -> None:
    ((text,),) = rig.run(Job(1, prompt="One, two,", sampling=Sampling(temperature=0, top_logprobs=2), max_tokens=4))
    entries = [entry for event in rig.events if isinstance(event, Delta) for entry in event.logprobs]
    assert b"".join(entry.chosen.token for entry in entries).decode(errors="replace") == text
    assert all(entry.top[0] == entry.chosen and len(entry.top) == 2 for entry in entries)


def test_time_is_told_and_shared(rig: Rig) -> None:
    rig.run(*[Job(number, prompt=LONG[number:], sampling=GREEDY, max_tokens=6) for number in range(4)])
    ends = [event for event in rig.events if isinstance(event, Finished)]
    standing = rig.engine.standing()
    assert 0 < sum(end.compute_s for end in ends) <= max(end.read_s + end.write_s for end in ends)
    assert min(standing.read_tokens_per_s, standing.write_tokens_per_s, standing.step_s, standing.run_s) > 0
    assert 0 < standing.python_s < standing.step_s
    assert 0 < standing.longest_gap_s < 5


def test_a_run_that_moves_to_another_slot_goes_on_as_it_was(tiny_model: Model) -> None:
    """The second of three is short: the third takes its place, and says what it would have said."""
    tokens = {0: 60, 1: 10, 2: 60}
    jobs = [Job(number, prompt=f"{number}: ", sampling=GREEDY, max_tokens=tokens[number]) for number in tokens]
    with Rig(tiny_model, tuned(deterministic=True)) as rig:
        alone = [rig.run(job)[0] for job in jobs]
        moved: list[int] = []
        swap = rig.context.swap
        rig.context.swap = lambda left, right: (moved.append(left), swap(left, right))[1]  # type: ignore[method-assign, func-returns-value]
        rig.events.clear()
        assert rig.run(*jobs) == alone
        assert len(moved) == 1
        rig.at_rest()


DETERMINISTIC = tuned(deterministic=True, context_tokens=320)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=11)], ids=["greedy", "seeded"])
def test_company_changes_nothing(model: Model, sampling: Sampling) -> None:
    """The bundled model says the same alone and in full slots, cold and where the prompt is known."""
    jobs = [
        Job(number, prompt=prompt, sampling=sampling, max_tokens=6, choices=choices)
        for number, (prompt, choices) in enumerate(
            [(LONG * 2 + "One", 1), ("Two", 1), (LONG * 2 + "Three", 2), (LONG + "Four and", 1), (LONG * 2 + "One", 1)]
        )
    ]
    alone = []
    with Rig(model, tuned(deterministic=True, context_tokens=320, slots=1)) as rig:
        alone = [rig.run(job)[0] for job in jobs]
    with Rig(model, DETERMINISTIC) as rig:
        assert rig.run(*jobs) == alone
        assert sum(rig.started(number).cached_tokens for number in range(5)) > 0
        assert all(rig.started(number).cached_tokens % 64 == 0 for number in range(5))


@pytest.mark.parametrize("unified", [False, True])
def test_whatever_comes_and_goes_everything_ends_once(tiny_model: Model, *, unified: bool) -> None:
    """Random arrivals and cancels: no slot and no cell is lost, and every choice has one end, or none if cancelled."""
    rng = random.Random(7)
    handles: dict[int, Handle] = {}
    with Rig(tiny_model, tuned(slots=3, context_tokens=256, batch_tokens=64, unified=unified)) as rig:

        def disturb(_: Event) -> None:
            if rng.random() < 0.03:
                handles[rng.choice(list(handles))].cancelled = True

        rig.on_event = disturb
        jobs = []
        for number in range(40):
            prompt = LONG[: rng.randrange(5, 150)] + str(rng.randrange(3))
            job = Job(
                number,
                prompt=prompt,
                sampling=Sampling(seed=number, top_logprobs=rng.choice([None, 2])),
                max_tokens=rng.randrange(1, 60),
                choices=rng.choice([1, 1, 1, 2, 4]),
                stop=rng.choice([(), ("e",)]),
            )
            jobs.append(job)
            handles[number] = rig.submit(job)
            if rng.random() < 0.5:
                rig.start()
        rig.until(lambda: all(rig.is_over(job) or handles[job.id].cancelled for job in jobs))
        rig.at_rest()
    for job in jobs:
        ends = rig.ends(job.id)
        assert not [end for end in ends if isinstance(end, Failed)]
        choices = [end.choice for end in ends if isinstance(end, Finished)]
        assert len(set(choices)) == len(choices)
        assert len(choices) == job.choices or handles[job.id].cancelled
    assert all(handle.cancelled or rig.texts(job) for handle, job in zip(handles.values(), jobs, strict=True))


def test_an_engine_that_stops_lets_its_thread_go(tiny_model: Model) -> None:
    begun = threading.Event()
    with Rig(tiny_model) as rig:
        rig.on_event = lambda event: begun.set() if isinstance(event, Delta) else None
        rig.submit(Job(1, prompt="On and on", sampling=GREEDY))
        rig.start()
        assert begun.wait(10)
        rig.engine.stop()
        rig.thread.join(10)
        assert not rig.thread.is_alive()


def test_a_bug_in_a_step_ends_what_runs_and_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.local.scheduling import engine  # noqa: PLC0415 - loads llama.cpp

    def broken(*_: object) -> None:
        raise ValueError("a bug")

    with monkeypatch.context() as bug:
        bug.setattr(engine, "plan_step", broken)
        rig.run(Job(1, prompt="One", sampling=GREEDY, max_tokens=1))
    assert rig.ends(1) == [Failed(1, 500, "engine_failure", "the engine failed")]
    assert rig.run(Job(2, prompt="Two", sampling=GREEDY, max_tokens=2)) != [[""]]
    rig.at_rest()
