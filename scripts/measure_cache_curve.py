"""Measures the semantic cache's shipped curve, and the traffic that a route is taken to have before it has any.

    python scripts/measure_cache_curve.py

The candidates are those that a cache meets: the nearest stored questions while the development streams run and only
misses are stored, decided by the curve of the round before. Prints what belongs into policies/cache_curves.py, and the
curves that halves of the streams give; benchmarks/semantic_cache.md says what those do on the other halves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.semantic_cache import data
from benchmarks.semantic_cache.streams import Budgeted, Part, Stream, load
from benchmarks.semantic_cache.vectors import EMBEDDER
from policies.cache_curves import PER_PRIOR, PRIOR_LEAST, PRIOR_STEP, Curve
from policies.cache_fitting import Fitted, Observation, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

START: Final = Curve("", at_one=-5.0, per_distance=17.0)  # any will do that is not far off
BUDGET: Final = 0.01
ROUNDS: Final = 4


def main() -> int:
    why = data.missing()
    if why:
        print(why, file=sys.stderr)
        return 1
    streams = {name: load(name) for name in data.STREAMS}
    fitted = measure(list(streams.values()))
    print(f"# {fitted.observations} candidates, {fitted.wrong} wrong; odds raised by {fitted.margin:.3f}")
    print(fitted.curve)
    print("PRIOR =", prior(list(streams.values()), fitted.curve))
    for name, used in (("even", Part.EVEN), ("odd", Part.ODD)):
        print(f"# fitted to {name} places: {measure(list(streams.values()), used).curve}")
    return 0


def measure(streams: Sequence[Stream], used: Part = Part.ALL) -> Fitted:
    """The curve of all streams together, fitted to a part of each."""
    curve = START
    for _ in range(ROUNDS):
        fitted = fit(EMBEDDER, [one for stream in streams for one in observe(stream, curve, used)], START)
        curve = fitted.curve
    return fitted


def observe(stream: Stream, curve: Curve, used: Part = Part.ALL) -> list[Observation]:
    """What a cache with this curve looks at."""
    decider = Budgeted(curve, BUDGET)
    stream.run(decider)
    return [seen for place, seen in decider.observations if used.holds(place)]


def prior(streams: Sequence[Stream], curve: Curve) -> tuple[int, ...]:
    """Of 10,000 requests, how many have a best candidate of which log odds: the mean of the streams."""
    counts = [0.0] * PER_PRIOR
    for stream in streams:
        for seen in observe(stream, curve):
            odds = curve.log_odds(seen.similarity, seen.signs, seen.next_similarity)
            number = int((odds - PRIOR_LEAST) / PRIOR_STEP)
            if 0 <= number < PER_PRIOR:
                counts[number] += 10_000 / len(stream.questions) / len(streams)
    return tuple(round(count) for count in counts)


if __name__ == "__main__":
    sys.exit(main())
