"""A curve from what was observed: logistic regression by Newton's method, small enough for the standard library.

It starts from a curve and is drawn back to it where the data say little (a ridge), so that a few hundred labels of an
operator's own traffic correct the shipped curve and do not replace it by chance. What is far above every bar is left
out of the last rounds, and at the end the whole line is moved to be right on average where hits are: it is straight,
and what it describes is not quite.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.cache_curves import FAR, Curve, risk_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from policies.questions.signs import Signs

SIGNS: Final = ("renamed", "brief")
"""The signs that paid on both development streams; the others did not, or not clearly."""
OBSERVATIONS_MIN: Final = 200
WRONG_MIN: Final = 10
_SCALE: Final = 0.1  # of distances, whose whole range is narrow beside that of signs
_RIDGE: Final = 0.3
_RISK_MAX: Final = 0.35
_HIT_RISK: Final = 0.06  # bars are about there with a budget of 1 %
_ROUNDS: Final = 2
_STEPS: Final = 40
_UPPER: Final = 1.645  # standard errors: nineteen times in twenty the truth is below

Row = tuple[float, ...]


class Observation(NamedTuple):
    """The candidate of least risk for a question, and whether its answer would have been wrong. `next_similarity` is
    that of the nearest other question, 0 where there is none.
    """

    similarity: float
    signs: Signs
    next_similarity: float
    wrong: bool
    weight: float = 1.0


class Fitted(NamedTuple):
    """`curve` gives upper bounds: its odds are raised by `margin`, a part of the standard error where hits are. It was
    fitted to so many observations, `wrong` of them wrong.
    """

    curve: Curve
    margin: float
    observations: int
    wrong: int


class TooFewError(ValueError):
    """There is too little to fit a curve to."""


def fit(embedder: str, observations: Iterable[Observation], start: Curve, *, signs: Sequence[str] = SIGNS) -> Fitted:
    """The curve of `embedder` that explains the observations, held to `start` as by a few labels. Raises
    `TooFewError`.
    """
    kept = [one for one in observations if one.signs.veto is None]
    wrong = sum(one.wrong for one in kept)
    if len(kept) < OBSERVATIONS_MIN or wrong < WRONG_MIN:
        raise TooFewError(
            f"{len(kept)} candidates, {wrong} of them wrong; {OBSERVATIONS_MIN} and {WRONG_MIN} are needed"
        )
    names = tuple(signs)
    signed = dict(start.per_sign)
    held = (
        start.at_one,
        start.per_distance * _SCALE,
        start.per_next * _SCALE,
        *(signed.get(name, 0.0) for name in names),
    )
    rows = [_row(one, names) for one in kept]
    marked = [(row, one.wrong, one.weight) for row, one in zip(rows, kept, strict=True)]
    weights, covariance = _newton(marked, held)
    for _ in range(_ROUNDS):
        near = [mark for mark in marked if risk_of(_dot(weights, mark[0])) <= _RISK_MAX]
        weights, covariance = _newton(near, held)
    margin = _UPPER * math.sqrt(_variance([row for row, *_ in near], weights, covariance))
    moved = _moved([(_dot(weights, row), one) for row, one in zip(rows, kept, strict=True)])
    at_one, per_distance, per_next, *per_sign = weights
    pairs = tuple(zip(names, per_sign, strict=True))
    curve = Curve(embedder, at_one + moved + margin, per_distance / _SCALE, per_next / _SCALE, pairs)
    return Fitted(curve, margin, len(kept), wrong)


def _row(one: Observation, names: Sequence[str]) -> Row:
    distance, alone = max(1.0 - one.similarity, 0.0), min(max(1.0 - one.next_similarity, 0.0), FAR)
    return (1.0, distance / _SCALE, alone / _SCALE, *(getattr(one.signs, name) for name in names))


def _newton(rows: Sequence[tuple[Row, bool, float]], held: Row) -> tuple[Row, list[list[float]]]:
    """Weights, and the covariance of their error."""
    weights = held
    size = range(len(held))
    for _ in range(_STEPS):
        slope = [_RIDGE * (weights[i] - held[i]) for i in size]
        bend = [[_RIDGE * (i == j) for j in size] for i in size]
        for row, wrong, weight in rows:
            risk = risk_of(_dot(weights, row))
            _add(slope, bend, row, weight * (risk - wrong), weight * risk * (1.0 - risk))
        covariance = _inverse(bend)
        # Newton's method may leap beyond where the curve is alike at all.
        change = [min(max(_dot(line, slope), -1.0), 1.0) for line in covariance]
        weights = tuple(old - new for old, new in zip(weights, change, strict=True))
        if max(map(abs, change)) < 1e-6:
            break
    return weights, covariance


def _moved(odds: Sequence[tuple[float, Observation]]) -> float:
    """By how much log odds are to be moved so that as many hits are wrong as expected."""
    hits = [(log_odds, one) for log_odds, one in odds if risk_of(log_odds) <= _HIT_RISK]
    moved = 0.0
    for _ in range(_STEPS):
        slope, bend = _RIDGE * moved, _RIDGE
        for log_odds, one in hits:
            risk = risk_of(log_odds + moved)
            slope += one.weight * (risk - one.wrong)
            bend += one.weight * risk * (1.0 - risk)
        moved -= min(max(slope / bend, -1.0), 1.0)
    return moved


def _add(slope: list[float], bend: list[list[float]], row: Row, pull: float, weight: float) -> None:
    for i, value in enumerate(row):
        slope[i] += pull * value
        line, scaled = bend[i], weight * value
        for j, other in enumerate(row):
            line[j] += scaled * other


def _variance(rows: Sequence[Row], weights: Row, covariance: Sequence[Row] | list[list[float]]) -> float:
    """Of the log odds of an average wrong candidate: at the mean of the rows, each weighed by its risk."""
    risks = [risk_of(_dot(weights, row)) for row in rows]
    total = sum(risks) or 1.0
    mean = [sum(risk * row[i] for risk, row in zip(risks, rows, strict=True)) / total for i in range(len(weights))]
    return max(_dot([_dot(line, mean) for line in covariance], mean), 0.0)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """By Gauss and Jordan; the ridge keeps it from having none."""
    size = len(matrix)
    lines = [[*line, *(float(i == j) for j in range(size))] for i, line in enumerate(matrix)]
    for step in range(size):
        pivot = max(range(step, size), key=lambda number: abs(lines[number][step]))
        lines[step], lines[pivot] = lines[pivot], lines[step]
        top = [value / lines[step][step] for value in lines[step]]
        lines[step] = top
        for number in range(size):
            if number != step:
                factor = lines[number][step]
                lines[number] = [value - factor * above for value, above in zip(lines[number], top, strict=True)]
    return [line[size:] for line in lines]
