"""Runs: one choice of one job on its way from the line through a slot to its last event."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Started
from gateway.local.scheduling.gauges import NANO
from policies.batching import aged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapters.llama_cpp_job import ChosenLogprob, Place
    from gateway.local.choosing.sampling import Chooser
    from gateway.local.choosing.text import TextStream
    from gateway.local.preparing.prepare import Work
    from gateway.local.scheduling.guessing import RunGuesses

_NUMBERS = count(1)


@dataclass(slots=True, eq=False)
class Family:
    """What the runs of one job have in common: samplers, and the prompt.

    `reading` is the slot that reads it first; `row` is the logits after it, kept for choices still to come.
    """

    work: Work
    open_runs: int
    reading: int | None = None
    started: bool = False
    over: bool = False
    row: NDArray[np.float32] | None = None

    @property
    def cancelled(self) -> bool:
        return self.over or self.work.handle.cancelled

    def leave(self) -> None:
        """One of its runs has ended, in whatever way; the last one frees the samplers."""
        self.open_runs -= 1
        if not self.open_runs:
            self.row = None
            self.work.close()

    def fail(self, status: int, code: str, message: str) -> list[Event]:
        """The job's last event, unless it had one; all of its runs are over with it."""
        if self.cancelled:
            return []
        # The job's other prompts have families of their own, and end with this one.
        self.over = self.work.handle.cancelled = True
        return [Failed(self.work.handle.job.id, status, code, message)]


@dataclass(slots=True, eq=False)
class Run:
    """One choice of one job. `tokens` is its prompt and what was written since, less what was dropped where a full slot
    shifts; `number` grows with arrival.
    """

    family: Family
    choice: int
    arrived_s: float
    tokens: array[int]
    text: TextStream
    guesses: RunGuesses | None = None
    number: int = field(default_factory=_NUMBERS.__next__)
    written: int = 0
    shifted_tokens: int = 0
    unreported: int = 0
    slot_s: float = 0.0
    first_token_s: float = 0.0
    last_token_s: float = 0.0
    compute_ns: int = 0

    @property
    def work(self) -> Work:
        return self.family.work

    @property
    def place(self) -> Place:
        return self.family.work.handle.job.place

    @property
    def job_id(self) -> int:
        return self.family.work.handle.job.id

    @property
    def adapter(self) -> str | None:
        return self.family.work.handle.job.adapter

    @property
    def cancelled(self) -> bool:
        """Nobody wants it any more: its caller left, or another choice of its job failed."""
        return self.family.cancelled

    def priority(self, now: float) -> int:
        return aged(self.place.priority, now - self.arrived_s)

    @property
    def chooser(self) -> Chooser:
        return self.work.choosers[self.choice - self.work.first_choice]

    @property
    def prompt_tokens(self) -> int:
        return len(self.family.work.tokens)

    @property
    def max_tokens(self) -> int:
        """How much it may write; what it will write is not known before."""
        return self.family.work.max_tokens

    @property
    def deadline_s(self) -> float:
        """It is not begun any more from here on."""
        return self.arrived_s + self.place.patience_s

    @property
    def is_writing(self) -> bool:
        return self.written > 0

    def begin(self, cached_tokens: int, now: float) -> list[Event]:
        """It has got a slot. What its job's caller hears of that, once for all choices."""
        self.slot_s = now
        family = self.family
        if family.started:
            return []
        family.started = True
        waited_s = now - self.arrived_s
        work = self.work
        left_out, opening = work.truncated_tokens, work.opening
        return [Started(self.job_id, self.prompt_tokens, cached_tokens, work.ignored, waited_s, left_out, opening)]

    def add(self, token: int, piece: bytes, logprob: ChosenLogprob | None, now: float) -> Delta | None:
        """One more token is written; what of the text may be shown now."""
        if not self.written:
            self.first_token_s = now
        self.tokens.append(token)
        self.written += 1
        self.unreported += 1
        shown = self.text.push(piece, logprob)
        return self._delta(shown) if shown else None

    @property
    def reason(self) -> str | None:
        """Why nothing more is written: a stop string, or the length; None while there is more to come."""
        if self.text.stopped:
            return "stop"
        return "length" if self.written >= self.max_tokens else None

    def finish(self, reason: str, now: float) -> list[Event]:
        """The last events of this choice."""
        first_s = self.first_token_s or now
        shown = self.text.finish()
        rest = self._delta(shown)
        times = (first_s - self.slot_s, now - first_s, self.compute_ns / NANO)
        end = Finished(self.job_id, self.choice, reason, self.written, *times, self.shifted_tokens)
        return [rest, end] if shown or rest.logprobs or rest.tokens else [end]

    def _delta(self, shown: str) -> Delta:
        tokens, self.unreported = self.unreported, 0
        return Delta(self.job_id, self.choice, shown, tokens, self.text.take_logprobs(), self.compute_ns / NANO)


def runs_of(work: Work) -> list[Run]:
    """A run for each choice of the work. Arrays are compared and copied ten times as fast as lists."""
    family = Family(work, len(work.choosers))
    choices = range(work.first_choice, work.first_choice + len(work.choosers))
    arrived_s = work.handle.arrived_s
    return [Run(family, choice, arrived_s, array("i", work.tokens), work.new_text()) for choice in choices]
