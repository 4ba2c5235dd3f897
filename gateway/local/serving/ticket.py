"""One call's place with the engine, from admission to the last event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Scores, Started, Vectors
from policies.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_S: Final = 1e7


class Ticket:
    """Collects a job's events for the one task that waits for them. What it holds is bounded by the model's context.

    `outcome` is what a job for vectors or scores ended with. `opening` is the last prompt's. `is_suspect`: the worker
    may have died over this job; `is_second_try`: another one may have done so before.
    """

    __slots__ = ("_events", "_on_close", "_open", "_waiter", "cached_tokens", "closed", "failed", "had_s", "ignored",
                 "is_lost", "is_second_try", "is_suspect", "opening", "outcome", "output_tokens", "prompt_tokens",
                 "queue_s", "started", "truncated_tokens")  # fmt: skip

    def __init__(self, choices: int, on_close: Callable[[Ticket], None]) -> None:
        self.started = False
        self.failed: Failed | None = None
        self.is_lost = self.is_suspect = self.is_second_try = False
        self.closed = False
        self.prompt_tokens = self.cached_tokens = self.output_tokens = 0
        self.ignored: tuple[str, ...] = ()
        self.opening = ""
        self.queue_s = 0.0
        self.had_s: dict[int, float] = {}
        self.truncated_tokens = 0
        self.outcome: Vectors | Scores | None = None
        self._events: list[Delta | Finished] = []
        self._open = set(range(choices))
        self._on_close = on_close
        self._waiter: asyncio.Future[None] | None = None

    @property
    def compute_s(self) -> float:
        """What of the engine's time all choices have had, as far as it has told."""
        return sum(self.had_s.values())

    @property
    def is_complete(self) -> bool:
        return not self._open

    @property
    def is_over(self) -> bool:
        """No more events will come."""
        return self.is_complete or self.is_lost or self.failed is not None

    @property
    def is_drained(self) -> bool:
        """All there will ever be has been handed over."""
        return self.is_over and not self._events

    def take(self, event: Event) -> None:
        """An event from the engine."""
        if isinstance(event, Started):
            self.started = True
            # A job with several prompts starts once for each.
            self.prompt_tokens += event.prompt_tokens
            self.cached_tokens += event.cached_tokens
            self.ignored += event.ignored
            self.opening = event.opening
            self.queue_s = max(self.queue_s, _sane_s(event.queue_s))
            self.truncated_tokens += event.truncated_tokens
            return
        if isinstance(event, Failed):
            self.failed = event
        elif isinstance(event, Vectors | Scores):
            self.outcome = replace(event, compute_s=_sane_s(event.compute_s))
            self._open.clear()
        elif event.choice in self._open:
            if isinstance(event, Delta):
                self.output_tokens += event.tokens
            else:
                self._open.remove(event.choice)
                event = _with_sane_times(event)
            self.had_s[event.choice] = max(self.had_s.get(event.choice, 0.0), _sane_s(event.compute_s))
            self._events.append(event)
        self._wake()

    def lose(self, *, was_preparing: bool = False) -> None:
        """The worker died."""
        self.is_lost = True
        self.is_suspect = was_preparing or self.started
        self._wake()

    async def wait(self, until_s: float) -> list[Delta | Finished]:
        """Text and ends since the last time: at least one, unless it `is_over`. Raises `TimeoutError`."""
        while not self._events and not self.is_over:
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout_at(until_s):
                await self._waiter
        events, self._events = self._events, []
        return events

    def usage(self) -> Usage:
        """What has been generated so far; only a complete job is known to have generated no more."""
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            cached_input_tokens=self.cached_tokens,
            estimated=not self.is_complete,
        )

    def close(self) -> None:
        """Give up the place; the engine stops working on it. May be called twice."""
        if not self.closed:
            self.closed = True
            self._on_close(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _with_sane_times(end: Finished) -> Finished:
    times = (end.read_s, end.write_s, end.compute_s)
    if all(0 <= time_s <= _LONGEST_S for time_s in times):
        return end
    return replace(end, read_s=_sane_s(end.read_s), write_s=_sane_s(end.write_s), compute_s=_sane_s(end.compute_s))


def _sane_s(time_s: float) -> float:
    """A time that clocks and ledgers can add up, whatever the worker makes of it."""
    return min(max(0.0, time_s), _LONGEST_S)
