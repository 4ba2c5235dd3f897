"""Runs: one choice of one job on its way from the line through a slot to its last event."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from gateway.local.text import TextStream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapters.llama_cpp_job import Place
    from gateway.local.prepare import Work
    from gateway.local.sampling import Chooser

_NUMBERS = count(1)


@dataclass(slots=True, eq=False)
class Family:
    """What the runs of one job have in common. `row` is the logits after the prompt, kept for choices still to come."""

    work: Work
    open_runs: int
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


@dataclass(slots=True, eq=False)
class Run:
    """One choice of one job. `tokens` is its prompt and what was written since; `number` grows with arrival."""

    family: Family
    choice: int
    arrived_s: float
    tokens: list[int]
    text: TextStream
    number: int = field(default_factory=_NUMBERS.__next__)
    written: int = 0
    unreported: int = 0
    slot_s: float = 0.0
    first_token_s: float = 0.0
    compute_s: float = 0.0

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
    def cancelled(self) -> bool:
        """Nobody wants it any more: its caller left, or another choice of its job failed."""
        return self.family.cancelled

    @property
    def chooser(self) -> Chooser:
        return self.family.work.choosers[self.choice]

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


def runs_of(work: Work, now: float) -> list[Run]:
    """A run for each choice of the work."""
    family = Family(work, len(work.choosers))
    stop = work.handle.job.stop
    return [Run(family, choice, now, list(work.tokens), TextStream(stop)) for choice in range(len(work.choosers))]
