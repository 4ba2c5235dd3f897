"""A cache on paper: a stream of questions run through its own steps, from an empty store on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from policies.cache_fitting import Observation
from policies.cache_signs import compare
from policies.caching import Candidate, Experience, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.embedding.embedder import Vector
    from policies.cache_curves import Curve

NEIGHBOURS: Final = 8
SIGMA: Final = 1.96


class How(NamedTuple):
    """`budget`: wrong hits per request. `checks_entities` as a route says it."""

    budget: float = 0.01
    checks_entities: bool = False


class Asked(NamedTuple):
    """A question of a stream, and what tells its right answer from others'."""

    text: str
    kind: str
    vector: Vector


class Share(msgspec.Struct):
    """So many of so many, with the 95 % interval of the share."""

    count: int
    of: int
    low: float
    high: float


class Run(msgspec.Struct):
    """What a cache with this curve does on the stream: hits and wrong ones, per request."""

    hits: Share
    wrong: Share


def run_stream(stream: Sequence[Asked], how: How, curve: Curve) -> tuple[list[Observation], Run]:
    """What a cache sees and does that begins empty and keeps every question that it does not serve."""
    import numpy as np  # noqa: PLC0415 - part of an extra

    kept: list[Asked] = []
    matrix = np.zeros((max(len(stream), 1), len(stream[0].vector) if stream else 1), np.float32)
    seen: list[Observation] = []
    experience, hits, wrong = Experience(), 0, 0
    for asked in stream:
        similarities = matrix[: len(kept)] @ asked.vector
        nearest = [int(index) for index in np.argsort(-similarities)[:NEIGHBOURS]]
        candidates = [
            Candidate(
                float(similarities[index]),
                compare(asked.text, kept[index].text, checks_entities=how.checks_entities),
            )
            for index in nearest
        ]
        verdict = decide(candidates, curve, experience, how.budget, 0.0)
        experience = experience.after(verdict)
        if verdict.best is not None:
            is_wrong = kept[nearest[verdict.best]].kind != asked.kind
            best = candidates[verdict.best]
            others = [one.similarity for one in candidates if one is not best]
            seen.append(Observation(best.similarity, best.signs, max(others, default=0.0), is_wrong))
            hits, wrong = hits + verdict.serves, wrong + (verdict.serves and is_wrong)
        if not verdict.serves:
            matrix[len(kept)] = asked.vector
            kept.append(asked)
    return seen, Run(share(hits, len(stream)), share(wrong, len(stream)))


def share(count: int, of: int) -> Share:
    """With Wilson's interval, which holds for few and for none."""
    if not of:
        return Share(count, of, 0.0, 1.0)
    middle = (count + SIGMA**2 / 2) / (of + SIGMA**2)
    half = SIGMA / (of + SIGMA**2) * math.sqrt(count * (of - count) / of + SIGMA**2 / 4)
    return Share(count, of, round(max(0.0, middle - half), 5), round(min(1.0, middle + half), 5))
