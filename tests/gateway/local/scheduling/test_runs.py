from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from adapters.llama_cpp_job import Delta, Failed, Finished, Job, Place, Started
from gateway.local.choosing.text import TextStream
from gateway.local.scheduling.runs import runs_of

if TYPE_CHECKING:
    from gateway.local.preparing.prepare import Work
    from gateway.local.scheduling.runs import Run


@dataclass
class FakeHandle:
    job: Job
    cancelled: bool = False
    arrived_s: float = 100.0


@dataclass
class FakeWork:
    handle: FakeHandle
    tokens: list[int] = field(default_factory=lambda: [7, 8, 9])
    choosers: list[Any] = field(default_factory=lambda: ["first", "second"])
    max_tokens: int = 3
    ignored: tuple[str, ...] = ("tools",)
    first_choice: int = 0
    truncated_tokens: int = 0
    opening: str = ""
    closed: int = 0

    def new_text(self) -> TextStream:
        return TextStream(self.handle.job.stop)

    def close(self) -> None:
        self.closed += 1


def runs(**of_job: object) -> tuple[FakeWork, list[Run]]:
    work = FakeWork(FakeHandle(Job(5, choices=2, place=Place(patience_s=4.0), **of_job)))  # type: ignore[arg-type]
    return work, runs_of(cast("Work", work))


def test_each_choice_has_a_run_with_its_own_text_and_chooser() -> None:
    work, (first, second) = runs()
    assert [first.chooser, second.chooser] == work.choosers
    assert first.number < second.number
    assert first.deadline_s == 104.0
    first.add(10, b"a", None, 101.0)
    assert (list(first.tokens), list(second.tokens), work.tokens) == ([7, 8, 9, 10], [7, 8, 9], [7, 8, 9])


def test_choices_are_counted_through_all_prompts_of_a_job() -> None:
    work, (first, _) = runs()
    other = FakeWork(work.handle, first_choice=2, truncated_tokens=5)
    third, fourth = runs_of(cast("Work", other))
    assert (third.choice, fourth.choice) == (2, 3)
    assert [third.chooser, fourth.chooser] == other.choosers
    assert third.begin(2, 100.5) == [Started(5, 3, 2, ("tools",), 0.5, 5)]
    assert len(first.family.fail(500, "c", "m")) == 1
    assert third.cancelled


def test_a_run_grows_in_priority_as_it_waits() -> None:
    _, (run, _) = runs()
    assert run.priority(100.0) == 1
    assert run.priority(125.0) == 3


def test_a_job_starts_once() -> None:
    _, (first, second) = runs()
    assert first.begin(2, 100.5) == [Started(5, 3, 2, ("tools",), 0.5)]
    assert second.begin(2, 100.7) == []


def test_a_choice_ends_at_its_length() -> None:
    _, (_, run) = runs()
    run.begin(0, 101.0)
    assert run.add(1, b"a", None, 102.0) == Delta(5, 1, "a", 1)
    assert run.reason is None
    assert run.is_writing
    run.compute_ns = 500_000_000
    assert run.add(2, b"\xc3", None, 103.0) is None
    assert run.add(3, b"\xa4", None, 104.0) == Delta(5, 1, "ä", 2, compute_s=0.5)
    assert run.reason == "length"
    assert run.finish("length", 105.0) == [Finished(5, 1, "length", 3, 1.0, 3.0, 0.5)]


def test_a_stop_string_goes_before_the_length() -> None:
    _, (run, _) = runs(stop=("bc",))
    run.begin(0, 101.0)
    assert run.add(1, b"ab", None, 102.0) == Delta(5, 0, "a", 1)
    assert run.add(2, b"c", None, 102.0) is None
    assert run.reason == "stop"
    assert run.finish("stop", 103.0) == [Delta(5, 0, "", 1), Finished(5, 0, "stop", 2, 1.0, 1.0, 0.0)]


def test_an_end_before_the_first_token_tells_the_time_to_read() -> None:
    _, (run, _) = runs()
    run.begin(0, 101.0)
    assert run.finish("stop", 103.0) == [Finished(5, 0, "stop", 0, 2.0, 0.0, 0.0)]


def test_what_was_held_back_comes_out_at_the_end() -> None:
    _, (run, _) = runs(stop=("ab",))
    run.add(1, b"xa", None, 102.0)
    assert run.finish("length", 103.0)[0] == Delta(5, 0, "a", 0)


def test_samplers_are_freed_by_the_last_to_leave() -> None:
    work, (first, second) = runs()
    first.family.leave()
    closed = [work.closed]
    second.family.leave()
    assert [*closed, work.closed] == [0, 1]


def test_a_job_fails_once_with_all_its_choices() -> None:
    _, (first, second) = runs()
    assert first.family.fail(500, "engine_failure", "no") == [Failed(5, 500, "engine_failure", "no")]
    assert second.cancelled
    assert second.family.fail(500, "engine_failure", "no") == []


def test_nobody_hears_that_a_cancelled_job_failed() -> None:
    work, (run, _) = runs()
    work.handle.cancelled = True
    assert run.cancelled
    assert run.family.fail(500, "engine_failure", "no") == []
