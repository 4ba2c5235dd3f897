"""When a dead worker is started again: soon after the first death, ever later when deaths pile up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Waits double from `first_wait_s` to `longest_wait_s`; a life of `stable_s` clears the record.

    After `deaths_allowed` deaths within `window_s` there is little hope: starts go on at the longest interval, and who
    counts on the worker need not wait for it.
    """

    first_wait_s: float = 0.1
    longest_wait_s: float = 30.0
    stable_s: float = 60.0
    deaths_allowed: int = 5
    window_s: float = 300.0

    def record(self, deaths: tuple[float, ...], now: float, lived_s: float) -> tuple[float, ...]:
        """The deaths that still count, this one included."""
        past = () if lived_s >= self.stable_s else deaths
        return (*(death for death in past if now - death < self.window_s), now)

    def is_hopeless(self, deaths: tuple[float, ...]) -> bool:
        return len(deaths) >= self.deaths_allowed

    def wait_s(self, deaths: tuple[float, ...]) -> float:
        if self.is_hopeless(deaths):
            return self.longest_wait_s
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** (len(deaths) - 1))
