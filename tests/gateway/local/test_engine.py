from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Job, Sampling, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.local.engine import SerialEngine
    from gateway.local.llama import Context, Model
    from gateway.local.prepare import Handle

GREEDY = Sampling(temperature=0)
LONG = "The quick brown fox jumps over the lazy dog. " * 16


class Bench:
    """An engine on a thread, and what it said. `on_event` sees each event on the engine's thread."""

    def __init__(self, model: Model, context: Context) -> None:
        from gateway.local.engine import SerialEngine  # noqa: PLC0415 - loads llama.cpp
        from gateway.local.prepare import Preparer  # noqa: PLC0415 - loads llama.cpp

        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda _: None
        self.engine: SerialEngine = SerialEngine(model, context, self._note)
        self._preparer = Preparer(model, None, context.context_tokens)
        self._change = threading.Condition()
        self.thread = threading.Thread(target=self.engine.run)
        self.thread.start()

    def _note(self, events: list[Event]) -> None:
        with self._change:
            self.events += events
            self._change.notify_all()
        for event in events:
            self.on_event(event)

    def submit(self, job: Job) -> Handle:
        from gateway.local.prepare import Handle  # noqa: PLC0415 - loads llama.cpp

        handle = Handle(job)
        self.engine.submit(self._preparer.prepare(handle))
        return handle

    def ends(self, job: int) -> list[Event]:
        return [event for event in self.events if isinstance(event, Finished | Failed) and event.job == job]

    def until_end(self, job: Job) -> None:
        with self._change:
            assert self._change.wait_for(lambda: len(self.ends(job.id)) == job.choices, 20)

    def run(self, job: Job) -> list[str]:
        """The texts of the job's choices."""
        self.submit(job)
        self.until_end(job)
        deltas = [event for event in self.events if isinstance(event, Delta) and event.job == job.id]
        return ["".join(one.text for one in deltas if one.choice == choice) for choice in range(job.choices)]


@pytest.fixture
def bench(model: Model, context: Context) -> Iterator[Bench]:
    bench = Bench(model, context)
    yield bench
    bench.engine.stop()
    bench.thread.join(10)
    assert not bench.thread.is_alive()


def test_a_job_starts_speaks_and_finishes(bench: Bench) -> None:
    (text,) = bench.run(Job(1, prompt="Once upon a time", sampling=GREEDY, max_tokens=5))
    assert len(text) > 5
    assert bench.events[0] == Started(1, 4, 0)
    assert bench.events[-1] == Finished(1, 0, "length", 5)
    assert sum(event.tokens for event in bench.events if isinstance(event, Delta)) == 5


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=11)], ids=["greedy", "seeded"])
def test_what_ran_before_changes_nothing(bench: Bench, sampling: Sampling) -> None:
    """The same request gives the same text cold, with its prompt still known, and after another's."""
    cold, again, other, after = (
        bench.run(Job(number, prompt=prompt, sampling=sampling, max_tokens=12))
        for number, prompt in enumerate([LONG, LONG, LONG[:300] + "Then the cat", LONG], 1)
    )
    assert cold == again == after
    assert other != cold
    starts = [event for event in bench.events if isinstance(event, Started)]
    assert [start.cached_tokens for start in starts] == [0, 128, 64, 64]


def test_choices_share_the_prompt_and_differ(bench: Bench) -> None:
    first, second = bench.run(Job(1, prompt="Once upon a time", sampling=Sampling(seed=1), max_tokens=8, choices=2))
    assert first != second
    alone = bench.run(Job(2, prompt="Once upon a time", sampling=Sampling(seed=2), max_tokens=8))
    assert alone == [second]


def test_a_stop_string_ends_the_text_before_itself(bench: Bench) -> None:
    (whole,) = bench.run(Job(1, prompt="Once upon a time", sampling=GREEDY, max_tokens=12))
    stop = whole[6:10]
    (cut,) = bench.run(Job(2, prompt="Once upon a time", sampling=GREEDY, max_tokens=12, stop=(stop,)))
    assert cut == whole[: whole.index(stop)]
    assert bench.ends(2)[0].reason == "stop"  # type: ignore[union-attr]


def test_logprobs_come_with_their_text(bench: Bench) -> None:
    (text,) = bench.run(Job(1, prompt="One, two,", sampling=Sampling(temperature=0, top_logprobs=2), max_tokens=4))
    entries = [entry for event in bench.events if isinstance(event, Delta) for entry in event.logprobs]
    assert b"".join(entry.chosen.token for entry in entries).decode() == text
    assert all(entry.top[0] == entry.chosen and len(entry.top) == 2 for entry in entries)


def test_a_schema_is_obeyed(bench: Bench) -> None:
    schema = '{"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 2}'
    (text,) = bench.run(Job(1, prompt="List:", sampling=Sampling(seed=3), schema=schema, max_tokens=60))
    assert bench.ends(1)[0].reason == "stop"  # type: ignore[union-attr]
    assert text.startswith("[")
    assert text.endswith("]")


def test_a_cancelled_generation_ends_within_one_step(bench: Bench) -> None:
    handles: dict[int, Handle] = {}
    gate = threading.Event()

    def cancel_at_first_token(event: Event) -> None:
        if isinstance(event, Delta) and event.job == 1:
            gate.wait(5)
            handles[1].cancelled = True

    bench.on_event = cancel_at_first_token
    handles[1] = bench.submit(Job(1, prompt="Once upon a time", sampling=GREEDY))
    gate.set()
    bench.run(Job(2, prompt="Next", sampling=GREEDY, max_tokens=1))
    assert sum(isinstance(event, Delta) and event.job == 1 for event in bench.events) == 1
    assert bench.ends(1) == []


def test_a_cancelled_prompt_is_not_read_to_its_end(bench: Bench) -> None:
    handles: dict[int, Handle] = {}
    gate = threading.Event()

    def cancel_at_start(event: Event) -> None:
        if isinstance(event, Started) and event.job == 1:
            gate.wait(5)
            handles[1].cancelled = True

    bench.on_event = cancel_at_start
    handles[1] = bench.submit(Job(1, prompt=LONG, sampling=GREEDY))
    gate.set()
    bench.run(Job(2, prompt="Next", sampling=GREEDY, max_tokens=1))
    assert bench.engine.steps == 1
    assert [event for event in bench.events if event.job == 1] == [bench.events[0]]


def test_a_job_cancelled_in_line_never_starts(bench: Bench) -> None:
    bench.on_event = lambda event: gate.wait(5) if isinstance(event, Started) and event.job == 1 else None  # type: ignore[assignment]
    gate = threading.Event()
    bench.submit(Job(1, prompt="One", sampling=GREEDY, max_tokens=1))
    bench.submit(Job(2, prompt="Two", sampling=GREEDY, max_tokens=1)).cancelled = True
    assert bench.engine.busy
    gate.set()
    bench.run(Job(3, prompt="Three", sampling=GREEDY, max_tokens=1))
    assert {event.job for event in bench.events} == {1, 3}


def test_a_failed_decode_fails_its_job_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.local.llama import Context, DecodeFailed  # noqa: PLC0415 - loads llama.cpp

    def fail(*_: object) -> None:
        raise DecodeFailed("llama_decode says -3")

    with monkeypatch.context() as broken:
        broken.setattr(Context, "decode", fail)
        bench.run(Job(1, prompt="One", sampling=GREEDY, max_tokens=1))
    assert bench.ends(1) == [Failed(1, 500, "engine_failure", "llama_decode says -3")]
    assert bench.run(Job(2, prompt="Once upon a time", sampling=GREEDY, max_tokens=2)) != [""]
