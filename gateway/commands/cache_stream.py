"""A cache on paper: a stream of questions run through its own steps, from an empty store on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from policies.cache_agreement import agree
from policies.cache_fitting import Observation
from policies.caching import CANDIDATES_MAX, Candidate, Experience, decide
from policies.questions.signs import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.embedding.embedder import Vector
    from policies.cache_curves import Curve

SIGMA: Final = 1.96


class How(NamedTuple):
    """`budget`: wrong hits per request. `checks_entities` as a route says it."""

    budget: float = 0.01
    checks_entities: bool = False


class Answer(NamedTuple):
    """What a model said. `vector` is None where it is too long for the embedder."""

    text: str
    vector: Vector | None


class Asked(NamedTuple):
    """A question of a stream, and what tells its right answer from others': a kind, else the answer itself. Questions
    of one place can be served with each other's answers.
    """

    text: str
    kind: str
    vector: Vector
    answer: Answer | None = None
    place: str = ""


class Share(msgspec.Struct):
    """So many of so many, with the 95 % interval of the share."""

    count: int
    of: int
    low: float
    high: float


class Run(msgspec.Struct):
    """What a cache with this curve does on the stream: hits and wrong ones, per request. Of `untold` hits nobody can
    tell here whether they were right.
    """

    hits: Share
    wrong: Share
    untold: int = 0


def run_stream(stream: Sequence[Asked], how: How, curve: Curve) -> tuple[list[Observation], Run]:
    """What a cache sees and does that begins empty and keeps every question that it does not serve."""
    places: dict[str, list[Asked]] = {}
    for asked in stream:
        places.setdefault(asked.place, []).append(asked)
    ran = [_run_place(place, how, curve) for place in places.values()]
    hits, wrong, untold = (sum(one.counts[number] for one in ran) for number in range(3))
    seen = [observation for one in ran for observation in one.seen]
    return seen, Run(share(hits, len(stream)), share(wrong, len(stream)), untold)


class _Ran(NamedTuple):
    """`counts`: hits, wrong ones, and those of which it cannot be told."""

    seen: list[Observation]
    counts: tuple[int, int, int]


def _run_place(stream: Sequence[Asked], how: How, curve: Curve) -> _Ran:
    import numpy as np  # noqa: PLC0415 - part of an extra

    kept: list[Asked] = []
    matrix = np.zeros((len(stream), len(stream[0].vector)), np.float32)
    seen: list[Observation] = []
    experience, hits, wrong, untold = Experience(), 0, 0, 0
    for asked in stream:
        similarities = matrix[: len(kept)] @ asked.vector
        nearest = [int(index) for index in np.argsort(-similarities)[:CANDIDATES_MAX]]
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
            is_right = _agree(kept[nearest[verdict.best]], asked)
            best = candidates[verdict.best]
            others = [one.similarity for one in candidates if one is not best]
            if is_right is not None:
                seen.append(Observation(best.similarity, best.signs, max(others, default=0.0), not is_right))
            if verdict.serves:
                hits, wrong, untold = hits + 1, wrong + (is_right is False), untold + (is_right is None)
        if not verdict.serves:
            matrix[len(kept)] = asked.vector
            kept.append(asked)
    return _Ran(seen, (hits, wrong, untold))


def _agree(one: Asked, other: Asked) -> bool | None:
    """Whether the two have one right answer; None where that cannot be told."""
    if one.answer is None or other.answer is None:
        return one.kind == other.kind
    first, second = one.answer.vector, other.answer.vector
    cosine = None if first is None or second is None else float(first @ second)
    return agree(one.answer.text, other.answer.text, cosine)


def share(count: int, of: int) -> Share:
    """With Wilson's interval, which holds for few and for none."""
    if not of:
        return Share(count, of, 0.0, 1.0)
    middle = (count + SIGMA**2 / 2) / (of + SIGMA**2)
    half = SIGMA / (of + SIGMA**2) * math.sqrt(count * (of - count) / of + SIGMA**2 / 4)
    return Share(count, of, round(max(0.0, middle - half), 5), round(min(1.0, middle + half), 5))
