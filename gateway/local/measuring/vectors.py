"""The engine of vectors and scores: texts of many requests share batches, and every request gets its turn.

It has what the worker needs of an engine: one thread owns the context, work comes in from any, and events go out
through `emit`. Batches are small, so that a cancelled request leaves within one and a newcomer waits for one.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from adapters.llama_cpp_job import EmbedJob, Event, Failed, Scores, Started, Vectors
from gateway.local.binding.llama import DecodeFailed
from gateway.local.binding.vector_context import MAX_TEXTS
from gateway.local.frames import Standing
from gateway.local.scheduling.gauges import NANO, Gauges
from policies.compute_share import shares_ns
from policies.vector_batches import Box, Pile, Served, next_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gateway.local.binding.vector_context import VectorContext
    from gateway.local.preparing.vector_prepare import VectorWork
    from policies.vector_batches import Pick

LEAST_BATCH_TOKENS: Final = 128
"""Smaller batches cost noticeably more per token, even on a CPU."""
UNKNOWN_RETRY_AFTER_S: Final = 1.0


class Bounds(NamedTuple):
    """How many requests are let in at once, and what a batch holds at most: texts, and what is read in `batch_s`."""

    requests: int = 64
    batch_texts: int = MAX_TEXTS
    batch_s: float = 0.1


@dataclass(slots=True)
class _Request:
    """A job at work. `order` are the places of its texts still to be read, shortest first, and `lengths` theirs."""

    number: int
    work: VectorWork
    arrived_s: float
    prompt_tokens: int
    order: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    begun: bool = False
    compute_ns: int = 0

    def __post_init__(self) -> None:
        self._expect(sorted(range(len(self.work.texts)), key=lambda index: len(self.work.texts[index])))

    def pile(self) -> Pile:
        place = self.work.handle.job.place
        return Pile(self.number, place.flow, max(place.weight, 1e-3), place.priority, self.lengths)

    def strike(self, positions: set[int]) -> None:
        """The texts at these places of `order` have been read."""
        self._expect([index for at, index in enumerate(self.order) if at not in positions])

    def _expect(self, order: list[int]) -> None:
        self.order, self.lengths = order, [len(self.work.texts[index]) for index in order]


class VectorEngine:
    """Batches over requests."""

    def __init__(
        self,
        context: VectorContext,
        emit: Callable[[list[Event]], None],
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps = 0
        self._context = context
        self._emit = emit
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._changed = threading.Condition()
        self._requests: dict[int, _Request] = {}
        self._count = 0
        self._served = Served()
        self._stopping = False
        self._gauges = Gauges()

    @property
    def busy(self) -> bool:
        return bool(self._requests)

    def submit(self, work: VectorWork) -> None:
        """Take over work, from any thread; one event of the last kinds ends it, unless it is cancelled."""
        with self._changed:
            refusal = self._refusal(work)
            if refusal is None:
                self._count += 1
                self._requests[self._count] = _Request(self._count, work, self._clock(), work.tokens)
                self._changed.notify()
        if refusal is not None:
            work.close()
            self._emit([refusal])

    def run(self) -> None:
        """Work until stopped; the calling thread owns the context from now on."""
        while self._wait():
            self.step()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def step(self) -> None:
        """One batch. What cannot be computed ends the requests that it was for, and no others."""
        began_s = self._clock()
        with self._changed:
            requests = dict(self._requests)
        events = self._let_go(requests, began_s)
        batch = next_batch([request.pile() for request in requests.values()], self._box(), self._served)
        self._served = batch.served
        if batch.picks:
            events += self._begin(requests, batch.picks, began_s)
            if events:
                self._emit(events)
            events = self._compute(requests, batch.picks, began_s)
        if events:
            self._emit(events)

    def standing(self) -> Standing:
        gauges = self._gauges
        with self._changed:
            requests = list(self._requests.values())
        waiting = [request for request in requests if not request.begun]
        left = {request.number: sum(request.lengths) for request in requests}
        waiting_tokens = sum(left[request.number] for request in waiting)
        return Standing(
            waiting=len(waiting),
            waiting_tokens=waiting_tokens,
            running=len(requests) - len(waiting),
            reading_tokens=sum(left.values()) - waiting_tokens,
            read_tokens_per_s=gauges.reading.value,
            run_s=gauges.run_s.value,
            steps=self.steps,
            step_s=gauges.step_s.value,
            python_s=gauges.python_s.value,
            read_tokens=gauges.read_tokens,
            busy_s=gauges.busy_s,
        )

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._requests or self._stopping)
            return not self._stopping

    def _box(self) -> Box:
        tokens = self._context.batch_tokens
        if pace := self._gauges.reading.value:
            tokens = min(tokens, max(LEAST_BATCH_TOKENS, int(pace * self._bounds.batch_s)))
        return Box(tokens, self._bounds.batch_texts)

    def _refusal(self, work: VectorWork) -> Failed | None:
        count, pace = len(self._requests), self._gauges.reading.value
        if count < self._bounds.requests:
            return None
        # All take turns, so the one with the least left is through when each has had about as much.
        least = min((sum(request.lengths) for request in self._requests.values()), default=0)
        retry_after_s = max(0.1, least * count / pace) if pace else UNKNOWN_RETRY_AFTER_S
        message = f"The engine has {count} requests at work and takes no more."
        return Failed(work.handle.job.id, 503, "engine_busy", message, retry_after_s=retry_after_s)

    def _let_go(self, requests: dict[int, _Request], now: float) -> list[Event]:
        """Requests whose callers are gone leave, and so do those that did not begin in time."""
        events: list[Event] = []
        for request in list(requests.values()):
            job = request.work.handle.job
            if request.work.handle.cancelled:
                self._end(requests, request)
            elif not request.begun and now - request.arrived_s >= job.place.patience_s:
                message = f"The engine had no room within {job.place.patience_s:.1f} s."
                events.append(Failed(job.id, 503, "engine_busy", message, retry_after_s=1.0))
                self._end(requests, request)
        return events

    def _begin(self, requests: dict[int, _Request], picks: Sequence[Pick], now: float) -> list[Event]:
        events: list[Event] = []
        for number in {pick.number for pick in picks}:
            request = requests[number]
            if not request.begun:
                request.begun = True
                queue_s = now - request.arrived_s
                events.append(Started(request.work.handle.job.id, request.prompt_tokens, 0, queue_s=queue_s))
        return events

    def _compute(self, requests: dict[int, _Request], picks: Sequence[Pick], began_s: float) -> list[Event]:
        places = [(requests[pick.number], requests[pick.number].order[pick.position]) for pick in picks]
        texts = [request.work.texts[index] for request, index in places]
        tokens = sum(map(len, texts))
        called_s = self._clock()
        try:
            rows = self._context.read(texts)
        except DecodeFailed as error:
            return self._fail(requests, {pick.number for pick in picks}, str(error))
        finally:
            self.steps += 1
            took_s = self._clock() - called_s
            self._charge([request for request, _ in places], [len(text) for text in texts], round(took_s * NANO))
        for (request, index), row in zip(places, rows, strict=True):
            request.work.rows[index] = row
        self._gauges.read(tokens, took_s)
        for number in {pick.number for pick in picks}:
            requests[number].strike({pick.position for pick in picks if pick.number == number})
        events = [self._finish(requests, request) for request in list(requests.values()) if not request.order]
        self._gauges.stepped(self._clock() - began_s, took_s)
        return events

    def _charge(self, requests: Sequence[_Request], tokens: Sequence[int], took_ns: int) -> None:
        """Whose the call's time was, also that of one that failed."""
        self._gauges.busy_ns += took_ns
        for request, share_ns in zip(requests, shares_ns(took_ns, tokens), strict=True):
            request.compute_ns += share_ns

    def _fail(self, requests: dict[int, _Request], numbers: set[int], message: str) -> list[Event]:
        events: list[Event] = []
        for number in numbers:
            events.append(Failed(requests[number].work.handle.job.id, 500, "engine_failure", message))
            self._end(requests, requests[number])
        return events

    def _finish(self, requests: dict[int, _Request], request: _Request) -> Event:
        self._gauges.ended(self._clock() - request.arrived_s, len(requests))
        event = _answer(request)
        self._end(requests, request)
        return event

    def _end(self, requests: dict[int, _Request], request: _Request) -> None:
        del requests[request.number]
        with self._changed:
            del self._requests[request.number]
        request.work.close()


def _answer(request: _Request) -> Event:
    job = request.work.handle.job
    rows = np.stack([row for row in request.work.rows if row is not None])
    if not np.isfinite(rows).all():
        return Failed(job.id, 500, "engine_failure", "The model's numbers are not finite.")
    if isinstance(job, EmbedJob):
        vectors = tuple(row.astype("<f4").tobytes() for row in unit_vectors(rows, job.dimensions))
        return Vectors(job.id, vectors, request.prompt_tokens, request.compute_ns / NANO)
    return Scores(job.id, tuple(map(float, rows[:, 0])), request.prompt_tokens, request.compute_ns / NANO)


def unit_vectors(rows: NDArray[np.float32], dimensions: int = 0) -> NDArray[np.float32]:
    """Rows of length 1, of their first `dimensions` numbers where that is not 0. A row of zeros stays as it is."""
    kept = rows[:, :dimensions] if dimensions else rows
    lengths = np.linalg.norm(kept.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(kept / np.where(lengths > 0, lengths, 1.0), np.float32)
