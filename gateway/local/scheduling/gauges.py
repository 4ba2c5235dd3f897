"""What the engine measures of itself, cheaply enough to do so at every step."""

from __future__ import annotations

from policies.batching import Pace

# A decayed mean over about the last twenty samples follows a changing load within seconds.
_KEPT = 0.95
# Calls of up to so many rows are told apart by each; longer ones by powers of two.
_EXACT_ROWS = 64
# What was not measured among so many calls is forgotten: one bad sample must not keep a size from being tried again.
_REMEMBERED_CALLS = 512
NANO = 1_000_000_000


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


class CallTimes:
    """How long calls of llama.cpp take, by their rows."""

    def __init__(self) -> None:
        self._calls = 0
        self._times: dict[int, tuple[Mean, Mean]] = {}
        self._last: dict[int, int] = {}

    def note(self, rows: int, duration_s: float) -> None:
        self._calls += 1
        bucket = rows if rows <= _EXACT_ROWS else 1 << rows.bit_length()
        if bucket not in self._times:
            self._times[bucket] = (Mean(), Mean())
        mean_rows, mean_s = self._times[bucket]
        mean_rows.add(rows)
        mean_s.add(duration_s)
        self._last[bucket] = self._calls

    def by_rows(self) -> dict[int, float]:
        """Mean seconds by (mean) rows, of sizes that were seen of late."""
        for bucket in [bucket for bucket, last in self._last.items() if last < self._calls - _REMEMBERED_CALLS]:
            del self._times[bucket], self._last[bucket]
        return {round(mean_rows.value): mean_s.value for mean_rows, mean_s in self._times.values()}


class Gauges:
    """Totals since the worker began, and decayed means."""

    def __init__(self) -> None:
        self.steps = 0
        self.busy_ns = 0
        self.read_tokens = self.cached_tokens = self.written_tokens = 0
        self.guessed_tokens = self.accepted_tokens = 0
        self.longest_gap_s = 0.0
        self.call_times = CallTimes()
        self.reading, self.writing = Mean(), Mean()
        self.step_s, self.python_s, self.write_step_s = Mean(), Mean(), Mean()
        self.run_s, self.shared_by = Mean(), Mean()

    def read(self, tokens: int, duration_s: float) -> None:
        self.read_tokens += tokens
        self.reading.add(tokens, duration_s)

    def wrote(self, tokens: int, duration_s: float) -> None:
        """What all writers of a step got."""
        self.writing.add(tokens, duration_s)
        self.write_step_s.add(duration_s)

    def stepped(self, duration_s: float, computed_s: float) -> None:
        self.steps += 1
        self.step_s.add(duration_s)
        self.python_s.add(duration_s - computed_s)

    def ended(self, duration_s: float, shared_by: int) -> None:
        """A run has left its slot, which `shared_by` runs shared with it."""
        self.run_s.add(duration_s)
        self.shared_by.add(shared_by)

    @property
    def busy_s(self) -> float:
        """How long the engine has computed; all its runs together had as much."""
        return self.busy_ns / NANO

    def pace(self) -> Pace:
        return Pace(self.reading.value, self.write_step_s.value)
