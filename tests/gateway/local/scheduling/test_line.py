from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import count

import pytest

from adapters.llama_cpp_job import Failed, Place
from gateway.local.scheduling.line import RunLine
from policies.batching import AGING_S
from policies.engine_line import EngineNow

NUMBERS = count(1)
BUSY = EngineNow(slots=1, running=1, run_s=2.0, shared_by=1.0)


@dataclass
class Run:
    """As much of a run as a line looks at."""

    number: int
    job_id: int
    place: Place
    arrived_s: float
    prompt_tokens: int = 100
    max_tokens: int = 50
    cancelled: bool = False

    @property
    def deadline_s(self) -> float:
        return self.arrived_s + self.place.patience_s


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(clock: Clock) -> RunLine[Run]:
    """A line of at most four behind an engine of one slot, which is taken, and of which nothing is known."""
    line = RunLine[Run](4, clock)
    line.tell(EngineNow(slots=1, running=1))
    return line


def run(place: Place = Place(), *, job: int = 0, tokens: int = 100, now: float = 100.0) -> Run:  # noqa: B008 - frozen
    number = next(NUMBERS)
    return Run(number, job or number, place, now, tokens)


def put(line: RunLine[Run], *runs: Run) -> None:
    for one in runs:
        assert line.put([one]) is None


def numbers(line: RunLine[Run], now: float = 100.0) -> list[int]:
    return [candidate.number for candidate in line.candidates(now)]


def test_one_flow_is_served_in_the_order_of_coming(line: RunLine[Run]) -> None:
    runs = [run(tokens=tokens) for tokens in (900, 10, 300)]
    put(line, *runs)
    assert numbers(line) == [one.number for one in runs]
    assert (len(line), line.waiting_tokens) == (3, 1210)


def test_a_burst_waits_behind_itself(line: RunLine[Run]) -> None:
    burst, other = [run(Place("a")) for _ in range(3)], run(Place("b"))
    put(line, *burst, other)
    assert numbers(line) == [burst[0].number, other.number, burst[1].number, burst[2].number]


def test_more_weight_is_a_larger_share(line: RunLine[Run]) -> None:
    light, heavy = [run(Place("a")) for _ in range(2)], [run(Place("b", weight=4.0)) for _ in range(2)]
    put(line, *light, *heavy)
    assert numbers(line) == [heavy[0].number, heavy[1].number, light[0].number, light[1].number]


def test_a_weight_of_nothing_breaks_nothing(line: RunLine[Run]) -> None:
    put(line, run(Place("a", weight=0.0)))
    assert len(numbers(line)) == 1


def test_a_higher_priority_goes_first_until_the_other_has_waited_long(line: RunLine[Run]) -> None:
    low = run(Place("a", priority=0))
    high = run(Place("b", priority=2), now=100.0 + 1.5 * AGING_S)
    put(line, low, high)
    assert numbers(line, 100.0 + 1.5 * AGING_S) == [high.number, low.number]
    newest = run(Place("b", priority=2), now=100.0 + 4 * AGING_S)
    put(line, newest)
    assert numbers(line, 100.0 + 4 * AGING_S)[-1] == newest.number


def test_a_run_is_taken_once(line: RunLine[Run]) -> None:
    one = run()
    put(line, one)
    assert line.peek(one.number) is one
    assert line.take(one.number) is one
    assert (len(line), numbers(line)) == (0, [])
    with pytest.raises(KeyError):
        line.take(one.number)


def test_the_cancelled_leave_without_a_word(line: RunLine[Run]) -> None:
    one, other = run(), run()
    put(line, one, other)
    one.cancelled = True
    assert numbers(line) == [other.number]
    assert line.leavers(100.0) == [(one, None)]
    assert line.leavers(100.0) == []
    assert numbers(line) == [other.number]


def test_of_a_job_that_is_too_late_one_run_brings_the_message(line: RunLine[Run]) -> None:
    choices = [run(Place(patience_s=5.0), job=7) for _ in range(3)]
    assert line.put(choices) is None
    assert line.leavers(104.9) == []
    assert numbers(line, 105.0) == []
    (first, failed), *rest = line.leavers(105.0)
    assert isinstance(failed, Failed)
    assert (first, failed.job, failed.status, failed.code) == (choices[0], 7, 503, "engine_busy")
    assert rest == [(choices[1], None), (choices[2], None)]
    assert len(line) == 0


def test_once_one_choice_has_begun_the_others_are_not_too_late(line: RunLine[Run]) -> None:
    choices = [run(Place(patience_s=5.0), job=7) for _ in range(2)]
    assert line.put(choices) is None
    line.take(choices[0].number)
    assert line.leavers(200.0) == []
    assert numbers(line, 200.0) == [choices[1].number]


def test_a_full_line_lets_nobody_in_and_says_when_to_come_again(line: RunLine[Run]) -> None:
    line.tell(BUSY)
    put(line, *[run() for _ in range(4)])
    failed = line.put([run(job=9)])
    assert failed is not None
    assert (failed.job, failed.status, failed.code, failed.retry_after_s) == (9, 503, "engine_busy", 2.0)
    assert len(line) == 4


def test_all_choices_of_a_job_come_or_none(line: RunLine[Run]) -> None:
    line.tell(BUSY)
    put(line, run(), run())
    failed = line.put([run(job=9) for _ in range(3)])
    assert failed is not None
    assert failed.retry_after_s == 2.0
    assert len(line) == 2


def test_a_job_longer_than_the_line_comes_when_nobody_waits(line: RunLine[Run]) -> None:
    put(line, run())
    assert line.put([run(job=9) for _ in range(6)]) is not None
    line.take(numbers(line)[0])
    assert line.put([run(job=9) for _ in range(6)]) is None


def test_free_slots_do_not_count_as_waiting(line: RunLine[Run]) -> None:
    line.tell(EngineNow(slots=3, running=0))
    put(line, *[run() for _ in range(7)])
    assert line.put([run()]) is not None


def test_who_would_be_too_late_is_told_so_at_once(line: RunLine[Run], clock: Clock) -> None:
    line.tell(BUSY)
    line_of_two = [run(), run()]
    put(line, *line_of_two)
    clock.now = 101.0
    failed = line.put([run(Place(patience_s=5.0), job=9, now=101.0)])
    assert failed is not None
    assert (failed.job, failed.status, failed.code) == (9, 503, "engine_busy")
    assert failed.retry_after_s == pytest.approx(1.0)
    assert line.put([run(Place(patience_s=7.0), now=101.0)]) is None


def test_a_wait_is_foretold_from_the_newcomers_own_place_in_the_line(line: RunLine[Run]) -> None:
    line.tell(BUSY)
    put(line, *[run(Place("a")) for _ in range(3)])
    assert line.put([run(Place("a", patience_s=4.5))]) is not None
    assert line.put([run(Place("b", patience_s=4.5))]) is None
    line.take(numbers(line)[-1])
    assert line.put([run(Place("a", priority=3, patience_s=2.5))]) is None


def test_who_has_spent_its_patience_before_is_refused(line: RunLine[Run], clock: Clock) -> None:
    clock.now = 110.0
    failed = line.put([run(Place(patience_s=5.0))])
    assert failed is not None
    assert failed.code == "engine_busy"


def test_a_closed_line_lets_nobody_in(line: RunLine[Run]) -> None:
    line.close()
    line.wait()
    assert line.is_closed
    assert line.put([run()]) is not None


def test_waiting_ends_when_somebody_comes(line: RunLine[Run]) -> None:
    came = threading.Event()

    def wait() -> None:
        line.wait()
        came.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not came.is_set()
    put(line, run())
    assert came.wait(5)


def test_waiting_ends_once_for_each_wake(line: RunLine[Run]) -> None:
    line.wake()
    line.wait()
    assert not line.wait(0.0)


def test_many_threads_may_put_while_one_takes(line: RunLine[Run]) -> None:
    line.tell(EngineNow(slots=1000, running=0))
    taken: list[int] = []

    def bring() -> None:
        for _ in range(50):
            put(line, run())

    bringers = [threading.Thread(target=bring) for _ in range(4)]
    for bringer in bringers:
        bringer.start()
    while len(taken) < 200:
        line.wait(5)
        taken += [line.take(candidate.number).number for candidate in line.candidates(100.0)]
    for bringer in bringers:
        bringer.join()
    assert len(set(taken)) == 200
    assert len(line) == 0


def test_a_burst_that_fills_the_line_keeps_only_its_own_flow_out(line: RunLine[Run]) -> None:
    line.tell(BUSY)
    assert line.put([run(Place("burst"), job=9) for _ in range(100)]) is None
    assert line.put([run(Place("burst"))]) is not None
    put(line, run(Place("b")), run(Place("b")), run(Place("c")))
    assert line.put([run(Place("b"))]) is not None
    assert line.put([run(Place("c"))]) is not None
    put(line, run(Place("d")))
    assert line.put([run(Place("e"))]) is not None
    assert len(line) == 104
