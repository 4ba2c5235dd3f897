"""What the engine measures of itself, cheaply enough to do so at every step."""

from __future__ import annotations

from policies.batching import Pace

# A decayed mean over about the last twenty samples follows a changing load within seconds.
_KEPT = 0.95


class Mean:
    """A decayed mean: of single values, or of amounts over the time that they took. 0 before anything was measured."""

    def __init__(self) -> None:
        self._total = 0.0
        self._weight = 0.0

    def add(self, total: float, weight: float = 1.0) -> None:
        self._total = self._total * _KEPT + total
        self._weight = self._weight * _KEPT + weight

    @property
    def value(self) -> float:
        return self._total / self._weight if self._weight else 0.0


class Gauges:
    """Totals since the worker began, and decayed means."""

    def __init__(self) -> None:
        self.steps = 0
        self.read_tokens = self.cached_tokens = self.written_tokens = 0
        self.longest_gap_s = 0.0
        self.reading, self.writing = Mean(), Mean()
        self.step_s, self.python_s, self.write_step_s = Mean(), Mean(), Mean()
        self.run_s, self.shared_by = Mean(), Mean()

    def read(self, tokens: int, duration_s: float) -> None:
        self.read_tokens += tokens
        self.reading.add(tokens, duration_s)

    def wrote(self, rows: int, duration_s: float) -> None:
        self.writing.add(rows, duration_s)
        self.write_step_s.add(duration_s)

    def stepped(self, duration_s: float, computed_s: float) -> None:
        self.steps += 1
        self.step_s.add(duration_s)
        self.python_s.add(duration_s - computed_s)

    def ended(self, duration_s: float, shared_by: int) -> None:
        """A run has left its slot, which `shared_by` runs shared with it."""
        self.run_s.add(duration_s)
        self.shared_by.add(shared_by)

    def pace(self) -> Pace:
        return Pace(self.reading.value, self.write_step_s.value)
