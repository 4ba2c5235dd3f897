"""What becomes of runs when llama.cpp fails, or has no room; and how steps are cut into calls."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Job, Sampling
from tests.gateway.local.scheduling.engine_rig import GREEDY, Rig, tuned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.local.binding.llama import Model
    from gateway.local.preparing.prepare import Handle

LONG = "The quick brown fox jumps over the lazy dog. " * 4


@pytest.fixture
def rig(tiny_model: Model) -> Iterator[Rig]:
    with Rig(tiny_model) as rig:
        yield rig


def fail(rig: Rig, error: Exception, times: int, when: Any) -> None:
    """Make the context's calls fail where `when` holds of their slots."""
    context, left = rig.context, [times]
    read, write = context.read, context.write

    def failing(call: Any, slots: Sequence[int], *arguments: Any) -> Any:
        if left[0] and when(slots):
            left[0] -= 1
            raise error
        return call(*arguments)

    context.read = lambda parts: failing(read, [part.slot for part in parts], parts)  # type: ignore[method-assign]
    context.write = lambda slots, tokens: failing(write, slots, slots, tokens)  # type: ignore[method-assign]


def test_a_failed_call_ends_those_in_it_alone(rig: Rig) -> None:
    from gateway.local.binding.llama import DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    fail(rig, DecodeFailed("llama_decode says -1"), 1, lambda slots: slots == [1])
    jobs = [Job(number, prompt=f"{LONG}{number}"[number:], sampling=GREEDY, max_tokens=9) for number in range(3)]
    rig.run(*jobs)
    failed = [end for job in jobs for end in rig.ends(job.id) if isinstance(end, Failed)]
    assert [(end.code, end.message) for end in failed] == [("engine_failure", "llama_decode says -1")]
    finished = [end for job in jobs for end in rig.ends(job.id) if isinstance(end, Finished)]
    assert [end.completion_tokens for end in finished] == [9, 9]
    rig.at_rest()


def test_a_context_in_doubt_is_made_anew_and_the_others_go_on(rig: Rig) -> None:
    """Those who were not in the failed calls read their text again and say what they would have said."""
    from gateway.local.binding.context import BrokenContext  # noqa: PLC0415 - loads llama.cpp

    steady = Job(1, prompt=LONG, sampling=GREEDY, max_tokens=40)
    ((expected,),) = rig.run(steady)
    victims = [Job(2, prompt=LONG[5:] * 2, sampling=GREEDY), Job(3, prompt=LONG[7:] * 2, sampling=GREEDY)]

    def send_victims(event: Event) -> None:
        if isinstance(event, Delta) and event.job == 4 and not sent:
            sent.append(1)
            fail(rig, BrokenContext("llama_decode says -3"), 2, lambda slots: len(slots) == 1 and slots != [writer()])
            for job in victims:
                rig.submit(job)

    def writer() -> int:
        (number,) = [slot.number for slot, run in rig.engine._slots.runs() if run.job_id == 4]
        return number

    sent: list[int] = []
    rig.on_event = send_victims
    again = Job(4, prompt=LONG, sampling=GREEDY, max_tokens=40)
    renewed: list[int] = []
    renew = rig.context.renew
    rig.context.renew = lambda: (renewed.append(1), renew())[1]  # type: ignore[method-assign, func-returns-value]
    rig.submit(again)
    rig.until(lambda: all(map(rig.is_over, [again, *victims])))
    assert renewed == [1]
    assert [rig.ends(job.id) for job in victims] == [
        [Failed(job.id, 500, "engine_failure", "llama_decode says -3")] for job in victims
    ]
    assert rig.texts(again) == [expected]
    rig.at_rest()


def test_full_cells_lose_nobody(tiny_model: Model) -> None:
    """Four runs that need more cells together than there are: some read their text again, and all come to their end."""
    with Rig(tiny_model, tuned(unified=True, context_tokens=256, batch_tokens=64)) as rig:
        jobs = [Job(number, prompt=f"{number} {LONG[:60]}", sampling=GREEDY, max_tokens=150) for number in range(4)]
        yields: list[object] = []
        yield_room = rig.engine._slots.yield_room
        rig.engine._slots.yield_room = lambda: (yields.append(1), yield_room())[1]  # type: ignore[method-assign, func-returns-value]
        texts = rig.run(*jobs)
        assert yields
        assert all(isinstance(end, Finished) for job in jobs for end in rig.ends(job.id))
        ends = [end for job in jobs for end in rig.ends(job.id) if isinstance(end, Finished)]
        assert [end.completion_tokens for end in ends] == [150] * 4
        assert all(len(text) > 50 for (text,) in texts)
        rig.at_rest()


def test_a_run_that_cannot_fit_alone_is_told(tiny_model: Model) -> None:
    from gateway.local.binding.context import NoRoom  # noqa: PLC0415 - loads llama.cpp

    with Rig(tiny_model, tuned(unified=True)) as rig:
        fail(rig, NoRoom("the engine's cells are full"), 100, lambda _: True)
        rig.run(Job(1, prompt=LONG, sampling=GREEDY, max_tokens=3))
        assert rig.ends(1) == [Failed(1, 500, "engine_failure", "the engine's cells are full")]


def test_rows_that_are_no_numbers_end_their_run_alone(rig: Rig) -> None:
    write = rig.context.write

    def spoilt(slots: Any, tokens: Any) -> Any:
        rows = write(slots, tokens)
        if len(slots) == 3:
            rows = rows.copy()
            rows[1] = float("nan")
        return rows

    rig.context.write = spoilt  # type: ignore[method-assign]
    jobs = [Job(number, prompt=f"{number}", sampling=GREEDY, max_tokens=9) for number in range(3)]
    rig.run(*jobs)
    kinds = sorted(type(end).__name__ for job in jobs for end in rig.ends(job.id))
    assert kinds == ["Failed", "Finished", "Finished"]
    rig.at_rest()


def test_a_sampler_that_breaks_ends_what_was_chosen_for_and_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.local.choosing.sampling import Chooser  # noqa: PLC0415 - loads llama.cpp

    def broken(*_: object) -> None:
        if rig.engine.steps > 3:
            bug.undo()
            raise ValueError("a bug")

    reader = Job(2, prompt=LONG * 2, sampling=GREEDY, max_tokens=3)
    with monkeypatch.context() as bug:
        bug.setattr(Chooser, "logprob", broken)
        rig.run(Job(1, prompt="One", sampling=GREEDY))
    assert rig.ends(1) == [Failed(1, 500, "engine_failure", "the next token could not be chosen")]
    rig.run(reader)
    assert isinstance(rig.ends(2)[0], Finished)
    rig.at_rest()


def test_nothing_waits_for_the_next_call(rig: Rig) -> None:
    """A prompt that ends in a step is answered before anybody else's next token is computed."""
    write, computing = rig.context.write, rig.engine._computing
    unsent: list[int] = []
    rows: list[int] = []

    def noted(slots: Any, tokens: Any) -> Any:
        unsent.append(len(computing._events))
        rows.append(len(slots))
        return write(slots, tokens)

    rig.context.write = noted  # type: ignore[method-assign]
    rig.run(*[Job(number, prompt=LONG[number:] * 2, sampling=GREEDY, max_tokens=30) for number in range(2)])
    assert set(rows) == {1, 2}
    assert not any(unsent)


def test_long_chunks_have_calls_of_their_own() -> None:
    from gateway.local.scheduling.computing import _calls  # noqa: PLC0415 - loads llama.cpp
    from policies.batching import Chunk  # noqa: PLC0415

    chunks = [Chunk(0, 0, 100), Chunk(1, 5, 20), Chunk(2, 0, 64), Chunk(3, 0, 63)]
    assert _calls(chunks, 64) == [[chunks[1], chunks[3]], [chunks[0]], [chunks[2]]]
    assert _calls(chunks, 0) == [[chunk] for chunk in chunks]
    assert _calls([], 64) == []


def test_seeded_choices_come_out_of_one_read_prompt(rig: Rig) -> None:
    rig.run(Job(1, prompt=LONG, sampling=Sampling(seed=3), max_tokens=4, choices=4))
    assert rig.engine.standing().read_tokens == rig.started(1).prompt_tokens
    rig.at_rest()


def test_who_begins_to_write_goes_on_with_those_who_do(rig: Rig) -> None:
    """A prompt that ends beside a writer has its second token in the same step."""
    read, write = rig.context.read, rig.context.write
    read_in: list[int] = []
    written_in: list[tuple[int, int]] = []
    rig.context.read = lambda parts: (read_in.append(rig.engine.steps), read(parts))[1]  # type: ignore[method-assign, func-returns-value]
    rig.context.write = lambda slots, tokens: (  # type: ignore[method-assign]
        written_in.append((rig.engine.steps, len(slots))),  # type: ignore[func-returns-value]
        write(slots, tokens),
    )[1]
    first = Job(1, prompt="One", sampling=GREEDY, max_tokens=60)
    second = Job(2, prompt=LONG, sampling=GREEDY, max_tokens=5)
    begun: list[int] = []

    def follow(event: Event) -> None:
        if isinstance(event, Delta) and not begun:
            begun.append(1)
            rig.submit(second)

    rig.on_event = follow
    rig.submit(first)
    rig.until(lambda: rig.is_over(first) and rig.is_over(second))
    assert (read_in[-1], 2) in written_in
    rig.at_rest()


@given(
    st.lists(st.tuples(st.integers(5, 120), st.integers(1, 12), st.integers(0, 4)), min_size=1, max_size=6),
    st.sets(st.integers(0, 30), max_size=3),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_runs_together_had_what_the_engine_computed(
    tiny_model: Model, jobs: list[tuple[int, int, int]], failing: set[int]
) -> None:
    """To the nanosecond, with callers who leave on the way and calls that fail."""
    from gateway.local.binding.llama import DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    with Rig(tiny_model) as rig:
        runs, calls, read, write, slots = [], count(), rig.context.read, rig.context.write, rig.engine._slots
        leave_after = {number: deltas for number, (_, _, deltas) in enumerate(jobs) if deltas}
        handles: dict[int, Handle] = {}

        def counted(call: Any, *arguments: Any) -> Any:
            rows = call(*arguments)
            if next(calls) in failing:
                raise DecodeFailed("llama_decode says -1")
            return rows

        def leave(event: Event) -> None:
            if isinstance(event, Delta) and event.job in leave_after:
                leave_after[event.job] -= 1
                handles[event.job].cancelled = not leave_after[event.job]

        rig.context.read = lambda parts: counted(read, parts)  # type: ignore[method-assign]
        rig.context.write = lambda *asked: counted(write, *asked)  # type: ignore[method-assign]
        seat = slots.seat
        slots.seat = lambda run, *where: (runs.append(run), seat(run, *where))[1]  # type: ignore[method-assign, func-returns-value]
        rig.on_event = leave
        for number, (characters, tokens, _) in enumerate(jobs):
            prompt = f"{number} {LONG}"[:characters]
            handles[number] = rig.submit(Job(number, prompt=prompt, sampling=GREEDY, max_tokens=tokens))
        rig.until(lambda: not rig.engine.busy)
        assert sum(run.compute_ns for run in runs) == rig.engine._gauges.busy_ns > 0
        told = [event for event in rig.events if isinstance(event, Finished)]
        assert all(any(end.compute_s == run.compute_ns / 1e9 for run in runs) for end in told)
