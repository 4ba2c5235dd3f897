"""`pointsman cache calibrate`: how likely which hits are wrong, measured on an operator's own questions.

A stream of questions is run through the cache's own steps: the nearest of those stored before are the candidates, and
what is not served is stored. The curve that is fitted to what was seen is tried on the half that it was not fitted to.
Pairs that somebody picked tell less: a cache meets nearest questions, not pairs. Answers without a class are compared
as shadow checks compare them, and what cannot be told is not counted.
"""

from __future__ import annotations

import asyncio
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway import extras
from gateway.caching.curves import CurveFile, UnsoundCurve, curve_in
from gateway.commands.cache_asked import CannotCalibrate, is_pair, kind_of, read_lines
from gateway.commands.cache_stream import Answer, Asked, How, Run, Share, run_stream, share
from gateway.errors import MissingExtra
from policies.cache_curves import Curve, curve_of, risk_of
from policies.cache_fitting import Observation, TooFewError, fit
from policies.questions.signs import compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from gateway.embedding.embedder import Embedder
    from policies.cache_fitting import Fitted

OK: Final = 0
NO_BETTER: Final = 1
WRONG: Final = 2
LOW_RISK: Final = 0.05
LIKELY: Final = 0.5


class Fit(msgspec.Struct):
    """How a curve fits: its loss over the candidates that one curve or the other takes for more likely right than
    wrong, and of those of low risk, the wrong ones that it foretells, and those that were. It is to foretell too many.
    """

    log_loss: float
    expected: float
    wrong: Share


class Report(msgspec.Struct):
    """Before: the shipped curve. After: the fitted one, on questions that it was not fitted to."""

    observations: int
    wrong: int
    budget: float
    before: Fit
    after: Fit
    before_run: Run | None
    after_run: Run | None
    curve: CurveFile

    @property
    def is_better(self) -> bool:
        """The fitted curve foretells no fewer wrong ones than there are, and the shipped one does not, or less well."""
        return _is_honest(self.after) and (not _is_honest(self.before) or self.after.log_loss < self.before.log_loss)


def run(file: Path, how: How, out: Path | None, *, as_json: bool) -> int:
    """0 done, 1 where there is too little to go by or the shipped curve does as well, 2 where the file is wrong."""
    try:
        report = asyncio.run(_calibrated(read_lines(file), how))
        text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        if out is not None and report.is_better:
            out.write_bytes(msgspec.json.format(msgspec.json.encode(report.curve), indent=2) + b"\n")
    except TooFewError as error:
        sys.stderr.write(f"pointsman cache calibrate: too little to go by: {error}\n")
        return NO_BETTER
    except (OSError, CannotCalibrate, MissingExtra) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        sys.stderr.write(f"pointsman cache calibrate: {told}\n")
        return WRONG
    sys.stdout.write(f"{text}\n" if as_json else "".join(f"{line}\n" for line in lines(report)))
    if report.is_better:
        sys.stderr.write(_what_next(out))
    return OK if report.is_better else NO_BETTER


async def _calibrated(found: list[dict[str, Any]], how: How) -> Report:
    extras.require(extras.SEMANTIC)
    from gateway.embedding.minilm import MiniLm  # noqa: PLC0415 - part of an extra

    embedder = MiniLm()
    try:
        await embedder.ready()
        return await calibrated(found, how, embedder)
    finally:
        await embedder.close()


async def calibrated(found: list[dict[str, Any]], how: How, embedder: Embedder) -> Report:
    """Raises `TooFewError`."""
    shipped = curve_of(embedder.id)
    if found and is_pair(found[0]):
        return _report([one async for one in _of_pairs(found, how, embedder)], how, shipped, embedder.id)
    stream = [one async for one in _embedded(found, embedder)]
    seen, before_run = run_stream(stream, how, shipped)
    report = _report(seen, how, shipped, embedder.id)
    report.before_run = before_run
    try:
        report.after_run = run_stream(stream, how, curve_in(report.curve))[1]
    except UnsoundCurve as error:
        raise TooFewError(f"what they say makes no curve: {error}") from error
    return report


def _report(seen: Sequence[Observation], how: How, shipped: Curve, embedder: str) -> Report:
    """Each half is told by the curve that was fitted to the other."""
    whole = fit(embedder, seen, shipped)
    halves = [seen[::2], seen[1::2]]
    try:
        crossed = [fit(embedder, half, shipped) for half in halves]
    except TooFewError as error:
        raise TooFewError(f"each half is tried on the other, and one has {error}") from None
    told = [(one, fitted) for half, fitted in zip(halves, reversed(crossed), strict=True) for one in half]
    before, after = fits(told, shipped)
    return Report(whole.observations, whole.wrong, how.budget, before, after, None, None, _file(whole))


async def _embedded(found: Iterable[dict[str, Any]], embedder: Embedder) -> Any:  # noqa: ANN401 - an iterator of Asked
    for line in found:
        vector = await embedder.embed(line["question"])
        if vector is not None:
            kind, answer = kind_of(line), line.get("answer")
            told = Answer(answer, await embedder.embed(answer)) if kind is None and isinstance(answer, str) else None
            yield Asked(line["question"], kind or "", vector, told, str(line.get("place", "")))


async def _of_pairs(found: Iterable[dict[str, Any]], how: How, embedder: Embedder) -> Any:  # noqa: ANN401 - as above
    for line in found:
        one, other = await embedder.embed(line["a"]), await embedder.embed(line["b"])
        if one is not None and other is not None:
            signs = compare(line["a"], line["b"], checks_entities=how.checks_entities)
            yield Observation(float(one @ other), signs, 0.0, not line["same"])


def fits(told: Sequence[tuple[Observation, Fitted]], shipped: Curve) -> tuple[Fit, Fit]:
    """Of the shipped curve, and of the one beside each observation, whose margin is left out of the loss."""
    before, after = [], []
    for one, fitted in told:
        plain = replace(fitted.curve, at_one=fitted.curve.at_one - fitted.margin)
        risks = _risk(shipped, one), _risk(plain, one)
        if one.signs.veto is None and min(risks) <= LIKELY:
            before.append((risks[0], risks[0], one.wrong))
            after.append((_risk(fitted.curve, one), risks[1], one.wrong))
    return _fit(before), _fit(after)


def _is_honest(fitted: Fit) -> bool:
    return fitted.wrong.low * fitted.wrong.of <= fitted.expected


def _risk(curve: Curve, one: Observation) -> float:
    return min(max(risk_of(curve.log_odds(one.similarity, one.signs, one.next_similarity)), 1e-9), 1 - 1e-9)


def _fit(risks: Sequence[tuple[float, float, bool]]) -> Fit:
    """Of the risk that is decided by, and the one that is thought likeliest."""
    loss = -sum(math.log(likely if wrong else 1.0 - likely) for _, likely, wrong in risks)
    low = [(risk, wrong) for risk, _, wrong in risks if risk <= LOW_RISK]
    expected = sum(risk for risk, _ in low)
    return Fit(round(loss / max(len(risks), 1), 4), round(expected, 2), share(sum(wrong for _, wrong in low), len(low)))


def _file(fitted: Fitted) -> CurveFile:
    curve = fitted.curve
    weights = {name: round(weight, 4) for name, weight in curve.per_sign}
    at_one, per_distance, per_next = (round(part, 4) for part in (curve.at_one, curve.per_distance, curve.per_next))
    return CurveFile(curve.embedder, at_one, per_distance, per_next, weights, fitted.observations, fitted.wrong)


def lines(report: Report) -> Iterator[str]:
    yield f"{report.observations} candidates, {report.wrong} of them wrong"
    for name, fitted in (
        ("shipped curve", report.before),
        ("fitted curve, on what it was not fitted to", report.after),
    ):
        low = fitted.wrong
        yield (
            f"{name}: loss {fitted.log_loss:.4f}; of {low.of} candidates with a risk of at most {LOW_RISK:.0%}, "
            f"{low.count} were wrong ({_interval(low)}) and {fitted.expected:.1f} were foretold"
        )
    for name, ran in (("shipped", report.before_run), ("fitted", report.after_run)):
        if ran is not None:
            yield (
                f"with a budget of {report.budget:.2%}, {name}: {ran.hits.count} hits of {ran.hits.of} requests "
                f"({_interval(ran.hits)}), {ran.wrong.count} wrong ({_interval(ran.wrong)})"
            )
    curve = report.curve
    signs = "".join(f", {name} {weight:+.3f}" for name, weight in curve.per_sign.items())
    weights = f"{curve.at_one:+.3f} at one, {curve.per_distance:+.3f} per distance, {curve.per_next:+.3f} per next"
    yield f"curve of {curve.embedder}: {weights}{signs}"
    if not report.is_better:
        yield "the shipped curve foretells as well or better: keep it"


def _what_next(out: Path | None) -> str:
    """Nothing goes by a curve that was merely measured."""
    if out is None:
        return "nothing was written: --out FILE keeps the curve, and `pointsman cache curve FILE` puts it in force\n"
    return f"the curve is in {out}; `pointsman cache curve {out}` puts it in force\n"


def _interval(found: Share) -> str:
    return f"{found.low:.2%} to {found.high:.2%}"
