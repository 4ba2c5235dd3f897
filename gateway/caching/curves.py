"""The curve of each embedder: what an operator has measured on questions of their own, else what is shipped.

It lies in the store, so that all gateways on it go by one, and each looks now and then whether there is another.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from policies.cache_curves import FAR, Curve, curve_of
from policies.questions.signs import Signs

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.answers.store import AnswerStore

EVERY_S: Final = 60.0
AT_ONE_LEAST: Final = -20.0
PER_DISTANCE_LEAST: Final = 1.0
PER_SIGN_LEAST: Final = -2.0
WEIGHT_MOST: Final = 1000.0
SIGNS: Final = frozenset(Signs._fields) - {"veto"}


class CurveFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A curve as files and stores have it, and what it was fitted to."""

    embedder: str
    at_one: float
    per_distance: float
    per_next: float = 0.0
    per_sign: dict[str, float] = {}
    observations: int = 0
    wrong: int = 0


class UnsoundCurve(ValueError):  # noqa: N818 - it says what is wrong
    """No measurement makes such a curve."""


class _Known(NamedTuple):
    curve: Curve
    until_s: float


class Curves:
    """Process scope."""

    def __init__(self, store: AnswerStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def of(self, embedder: str) -> Curve:
        known, now_s = self._known.get(embedder), self._clock()
        if known is None or now_s >= known.until_s:
            curve = read(await self._store.recall(name_of(embedder)), embedder) or curve_of(embedder)
            known = self._known[embedder] = _Known(curve, now_s + EVERY_S)
        return known.curve

    async def keep(self, file: CurveFile) -> None:
        """Go by this one from now on. Raises `UnsoundCurve`."""
        curve = curve_in(file)
        await self._store.remember(name_of(file.embedder), msgspec.json.encode(file))
        self._known[file.embedder] = _Known(curve, self._clock() + EVERY_S)

    async def forget(self, embedder: str) -> None:
        """Go by the shipped one again."""
        await self._store.remember(name_of(embedder), b"")
        self._known.pop(embedder, None)


def name_of(embedder: str) -> str:
    """What it is remembered under."""
    return f"curve {embedder}"


def read(state: bytes | None, embedder: str) -> Curve | None:
    """What was remembered; None where that is no curve of this embedder: others may have written to the store."""
    if not state:
        return None
    try:
        file = msgspec.json.decode(state, type=CurveFile)
        return curve_in(file) if file.embedder == embedder else None
    except (msgspec.DecodeError, RecursionError, UnsoundCurve):
        return None


def curve_in(file: CurveFile) -> Curve:
    """Raises `UnsoundCurve` for one that would serve whatever it is asked: risks must rise with the distance."""
    weights = (file.at_one, file.per_distance, file.per_next, *file.per_sign.values())
    if not all(math.isfinite(weight) and abs(weight) <= WEIGHT_MOST for weight in weights):
        raise UnsoundCurve("a weight is no number, or too large for one")
    if file.at_one < AT_ONE_LEAST or file.per_distance < PER_DISTANCE_LEAST:
        raise UnsoundCurve(f"at_one is below {AT_ONE_LEAST:g}, or per_distance below {PER_DISTANCE_LEAST:g}")
    if file.at_one + file.per_distance + FAR * min(file.per_next, 0.0) < 0.0:
        raise UnsoundCurve("questions that have nothing in common would be served")
    if min(file.per_sign.values(), default=0.0) < PER_SIGN_LEAST:
        raise UnsoundCurve(f"a weight of per_sign is below {PER_SIGN_LEAST:g}: signs speak against an answer")
    if unknown := sorted(file.per_sign.keys() - SIGNS):
        raise UnsoundCurve(f"there is no sign {unknown[0]}")
    return Curve(file.embedder, file.at_one, file.per_distance, file.per_next, tuple(file.per_sign.items()))
