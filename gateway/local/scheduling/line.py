"""The worker's line: runs that wait for a slot, in fair order, bounded, and left in time.

The preparer's thread puts runs in; the engine's thread takes them out. Who is a job's first run decides for all of its
choices: they come together or not at all, and once one of them has begun none is too late.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from adapters.llama_cpp_job import Failed
from policies.batching import Candidate, aged
from policies.engine_line import (
    UNKNOWN_WAIT_S,
    Ahead,
    EngineNow,
    expected_wait_s,
    full_line_retry_after_s,
    retry_after_s,
)
from policies.queueing import Applicant, Entry, FairQueue, join, leave, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapters.llama_cpp_job import Place

# What an answer is taken to be that may become longer: it counts for a flow's share of the engine, and nothing else.
USUAL_ANSWER_TOKENS: Final = 256
LEAST_WEIGHT: Final = 0.001
NEVER_S: Final = float("inf")
# More slots than any engine has; of as many as run now, the last that began are taken to be those.
_BEGUN_KEPT: Final = 1024


class Waiting(Protocol):
    """What the line must know of a run."""

    @property
    def number(self) -> int: ...

    @property
    def job_id(self) -> int: ...

    @property
    def place(self) -> Place: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def arrived_s(self) -> float: ...

    @property
    def deadline_s(self) -> float: ...

    @property
    def cancelled(self) -> bool: ...


R = TypeVar("R", bound=Waiting)


@dataclass(slots=True)
class _Stander(Generic[R]):
    run: R
    entry: Entry
    deadline_s: float

    def key(self, now: float) -> tuple[int, float, int]:
        return -aged(self.run.place.priority, now - self.run.arrived_s), self.entry.finish, self.run.number


class RunLine(Generic[R]):
    """Runs that wait. Every method may be called from any thread."""

    def __init__(self, max_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_waiting = max_waiting
        self._clock = clock
        self._queue = FairQueue()
        self._standers: dict[int, _Stander[R]] = {}
        self._engine = EngineNow()
        self._changed = threading.Condition()
        self._begun: deque[tuple[float, R]] = deque(maxlen=_BEGUN_KEPT)
        self._closed = False
        self._woken = False

    def __len__(self) -> int:
        return len(self._standers)

    @property
    def waiting_tokens(self) -> int:
        """Tokens in the prompts that wait. A prompt that several choices share counts once for each."""
        with self._changed:
            return sum(stander.run.prompt_tokens for stander in self._standers.values())

    def tell(self, engine: EngineNow) -> None:
        """The engine's numbers, from which waits are foretold; told after every run that came or went."""
        self._engine = engine

    def put(self, runs: Sequence[R]) -> Failed | None:
        """All runs of one job line up; or none does, and its caller is told why and when to come again."""
        with self._changed:
            refusal = self._refusal(runs)
            if refusal is None:
                for run in runs:
                    self._stand(run)
                self._changed.notify()
        return refusal

    def candidates(self, now: float) -> list[Candidate]:
        """Those who can be given a slot, in the order of service; none who was cancelled or is too late."""
        with self._changed:
            able = [one for one in self._standers.values() if not one.run.cancelled and now < one.deadline_s]
        return [
            Candidate(-key[0], key[1], key[2], one.deadline_s)
            for key, one in sorted(((one.key(now), one) for one in able), key=lambda pair: pair[0])
        ]

    def peek(self, number: int) -> R:
        """The run of a candidate, which stays in the line."""
        return self._standers[number].run

    def take(self, number: int) -> R:
        """The run of a candidate, which has got a slot. Nobody else of its job is too late from now on."""
        with self._changed:
            stander = self._standers.pop(number)
            self._queue = serve(self._queue, stander.entry)
            self._begun.append((self._clock(), stander.run))
            for other in self._standers.values():
                if other.run.job_id == stander.run.job_id:
                    other.deadline_s = NEVER_S
        return stander.run

    def leavers(self, now: float) -> list[tuple[R, Failed | None]]:
        """Those who leave without a slot: cancelled, or too late. Of a job that is too late one gets the message."""
        with self._changed:
            leaving = [one for one in self._standers.values() if one.run.cancelled or now >= one.deadline_s]
            for one in leaving:
                del self._standers[one.run.number]
                self._queue = leave(self._queue, one.entry)
        told: set[int] = set()
        result: list[tuple[R, Failed | None]] = []
        for one in leaving:
            is_told = one.run.cancelled or one.run.job_id in told
            result.append((one.run, None if is_told else self._too_late(one.run)))
            told.add(one.run.job_id)
        return result

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return once somebody waits, the line was closed or woken, or time is up: then it is false."""
        with self._changed:
            came = self._changed.wait_for(lambda: bool(self._standers) or self._closed or self._woken, timeout_s)
            self._woken = False
        return came

    def wake(self) -> None:
        """Let `wait` return though nobody came."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and let nobody wait for that."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _stand(self, run: R) -> None:
        self._queue, entry = _joined(self._queue, run)
        self._standers[run.number] = _Stander(run, entry, run.deadline_s)

    def _refusal(self, runs: Sequence[R]) -> Failed | None:
        job_id, patience_s = runs[0].job_id, runs[0].place.patience_s
        if self._closed:
            return _busy(job_id, "The engine is shutting down.", UNKNOWN_WAIT_S)
        excess = len(self._standers) + len(runs) - self._max_waiting - self._free_slots()
        # A job of more choices than the line is long would never fit: it may come where nobody waits.
        if excess > 0 and self._standers and not self._is_within_its_part(runs):
            message = f"The engine's line is full: {len(self._standers)} wait already."
            return _busy(job_id, message, full_line_retry_after_s(self._engine, excess))
        now = self._clock()
        wait_s = self._expected_wait_s(runs[0], now)
        if wait_s < runs[0].deadline_s - now:
            return None
        message = f"The engine would not begin in time: about {wait_s:.1f} s, and the request waits {patience_s:.1f} s."
        return _busy(job_id, message, retry_after_s(wait_s, patience_s))

    def _is_within_its_part(self, runs: Sequence[R]) -> bool:
        """Whether these and the runs of their flow that wait already are no more than its part of the line: nobody is
        kept out by others' bursts. With many flows the line grows longer that way, by little: their parts get smaller.
        """
        flow = runs[0].place.flow
        flows = [one.run.place.flow for one in self._standers.values() if not one.run.cancelled]
        return flows.count(flow) + len(runs) <= self._max_waiting // len({flow, *flows})

    def _free_slots(self) -> int:
        return max(0, self._engine.slots - self._engine.running)

    def _expected_wait_s(self, run: R, now: float) -> float:
        """How long a newcomer like `run` would wait behind those that are served before it."""
        _, entry = _joined(self._queue, run)
        own = (-aged(run.place.priority, 0.0), entry.finish, run.number)
        standers = self._standers.values()
        before = [one.run.prompt_tokens for one in standers if not one.run.cancelled and one.key(now) < own]
        engine = self._engine
        seated = list(self._begun)[-engine.running :] if engine.running else []
        # Whoever was cancelled leaves with the step that is under way, which the engine has not told yet.
        leaving = [one.prompt_tokens for _, one in seated if one.cancelled]
        engine = engine._replace(
            running=engine.running - len(leaving), reading_tokens=max(0, engine.reading_tokens - sum(leaving))
        )
        begun = [moment for moment, one in seated if not one.cancelled]
        seated_s = now - sum(begun) / len(begun) if begun else 0.0
        return expected_wait_s(Ahead(len(before), sum(before), seated_s), engine)

    def _too_late(self, run: R) -> Failed:
        message = f"The engine had no slot within {run.place.patience_s:.1f} s."
        with self._changed:
            wait_s = self._expected_wait_s(run, self._clock())
        return _busy(run.job_id, message, retry_after_s(wait_s, run.place.patience_s))


def _joined(queue: FairQueue, run: R) -> tuple[FairQueue, Entry]:
    place = run.place
    tokens = run.prompt_tokens + min(run.max_tokens, USUAL_ANSWER_TOKENS)
    applicant = Applicant(place.flow, max(place.weight, LEAST_WEIGHT), tokens, frozenset())
    return join(queue, applicant, run.deadline_s)


def _busy(job_id: int, message: str, after_s: float) -> Failed:
    return Failed(job_id, 503, "engine_busy", message, retry_after_s=after_s)
