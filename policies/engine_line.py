"""How long a newcomer waits for a slot of the engine, and what it is told when that is too long.

A run holds its slot for `run_s` on the average, so a full engine of so many slots frees one every `run_s / slots`. That
mean was measured while `shared_by` runs shared the engine. If now more will share it, each takes longer, though less
than in proportion, since a batch of two costs less than two batches: processors were seen to take 2.5 times as long
for four rows and 6.4 times for sixteen. (A GPU shares better: its first burst after quiet is foretold too long.)
Runs that began together, as after a quiet time, also end together: the first of them leaves later than its turn. And
no line moves faster than the engine reads its prompts.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

# Where nothing was measured yet, somebody who is turned away may ask again after so long.
UNKNOWN_WAIT_S: Final = 1.0
LEAST_RETRY_AFTER_S: Final = 0.1
# A step for n rows takes n to this power as long as a step for one.
_SHARING_EXPONENT: Final = 2 / 3


class EngineNow(NamedTuple):
    """The engine as it is: `running` of its slots are taken, and `reading_tokens` of their prompts not yet read.

    `run_s` is the decayed mean of what a run spent in its slot, while `shared_by` runs on the average shared the
    engine. 0 where nothing was measured.
    """

    slots: int = 1
    running: int = 0
    reading_tokens: int = 0
    read_tokens_per_s: float = 0.0
    run_s: float = 0.0
    shared_by: float = 0.0


class Ahead(NamedTuple):
    """Who is served before the newcomer: so many runs, and so many tokens in their prompts.

    `seated_s` is how long those who run have had their slots, on the average.
    """

    runs: int = 0
    prompt_tokens: int = 0
    seated_s: float = inf


def expected_wait_s(ahead: Ahead, engine: EngineNow) -> float:
    """How long until the newcomer gets a slot; 0 where one is free, or where nothing is known of the engine's pace."""
    departures = ahead.runs + 1 - max(0, engine.slots - engine.running)
    if departures <= 0:
        return 0.0
    interval_s = slot_interval_s(engine)
    young_s = max(0.0, interval_s * engine.slots - 2.0 * ahead.seated_s)
    late_s = young_s * max(0.0, 1.0 - departures / engine.slots)
    return max(departures * interval_s + late_s, _reading_s(ahead, departures, engine))


def newcomer_wait_s(ahead: Ahead, engine: EngineNow) -> float | None:
    """As `expected_wait_s`, for who chooses among engines; None where none is free and no run has ended yet."""
    if not ahead.runs and engine.running < engine.slots:
        return 0.0
    return expected_wait_s(ahead, engine) if engine.run_s > 0.0 else None


def slot_interval_s(engine: EngineNow) -> float:
    """How often a full engine frees a slot; 0 where no run has ended yet."""
    shared_by = min(max(1.0, engine.shared_by), engine.slots)
    together_s: float = engine.run_s * (engine.slots / shared_by) ** _SHARING_EXPONENT
    return together_s / engine.slots


def _reading_s(ahead: Ahead, departures: int, engine: EngineNow) -> float:
    """What must be read before so many have left: those that run, and those ahead that must come and go as well."""
    if engine.read_tokens_per_s <= 0.0:
        return 0.0
    own = min(1.0, departures / max(1, engine.running)) * engine.reading_tokens
    others = max(0, departures - engine.running) / max(1, ahead.runs) * ahead.prompt_tokens
    return (own + others) / engine.read_tokens_per_s


def retry_after_s(wait_s: float, patience_s: float) -> float:
    """When somebody as patient would be let in, if `wait_s` is expected now and nobody else comes."""
    return max(LEAST_RETRY_AFTER_S, wait_s - patience_s)


def full_line_retry_after_s(engine: EngineNow, places: int) -> float:
    """When so many places of a full line will have become free."""
    interval_s = slot_interval_s(engine) or UNKNOWN_WAIT_S
    return max(LEAST_RETRY_AFTER_S, places * interval_s)
