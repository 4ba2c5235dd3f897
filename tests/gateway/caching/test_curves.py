from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from gateway.caching.curves import EVERY_S, CurveFile, Curves, UnsoundCurve, curve_in, name_of, read
from policies.cache_curves import CAUTIOUS, SHIPPED

if TYPE_CHECKING:
    from gateway.state.answers.store import AnswerStore

EMBEDDER = SHIPPED[0].embedder
MEASURED = CurveFile(EMBEDDER, -5.0, 20.0, 1.0, {"slot": 0.5}, 400, 30)


class Remembering:
    """What a store remembers."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.asked = 0

    async def remember(self, name: str, state: bytes) -> None:
        self.states[name] = state

    async def recall(self, name: str) -> bytes | None:
        self.asked += 1
        return self.states.get(name)


def of(store: Remembering, now_s: list[float]) -> Curves:
    return Curves(cast("AnswerStore", store), lambda: now_s[0])


async def test_what_was_measured_is_gone_by_and_outlives_the_process() -> None:
    store, now_s = Remembering(), [0.0]
    curves = of(store, now_s)
    assert await curves.of(EMBEDDER) is SHIPPED[0]
    await curves.keep(MEASURED)
    assert (await curves.of(EMBEDDER)).per_distance == 20.0
    assert await of(store, now_s).of(EMBEDDER) == await curves.of(EMBEDDER)
    assert await curves.of("another") is CAUTIOUS
    await curves.forget(EMBEDDER)
    assert await curves.of(EMBEDDER) is SHIPPED[0]


async def test_another_gateway_hears_of_it_soon_and_asks_seldom() -> None:
    store, now_s = Remembering(), [0.0]
    one, other = of(store, now_s), of(store, now_s)
    for _ in range(9):
        assert await other.of(EMBEDDER) is SHIPPED[0]
    assert store.asked == 1
    await one.keep(MEASURED)
    now_s[0] = EVERY_S
    assert (await other.of(EMBEDDER)).at_one == -5.0


@pytest.mark.parametrize(
    "changed",
    [
        {"at_one": -20.1}, {"at_one": float("nan")}, {"per_distance": 0.5}, {"per_next": float("inf")},
        {"per_sign": {"slot": -1e9}}, {"per_sign": {"slot": -2.1}},
        {"at_one": -20.0, "per_distance": 1.0}, {"per_next": -100.0},
        {"per_sign": {"veto": 1.0}}, {"per_sign": {"mood": 1.0}},
    ],
)  # fmt: skip
def test_a_curve_that_would_serve_anything_is_none(changed: dict[str, object]) -> None:
    unsound = msgspec.structs.replace(MEASURED, **changed)
    with pytest.raises(UnsoundCurve):
        curve_in(unsound)
    assert curve_in(MEASURED).per_sign == (("slot", 0.5),)


@pytest.mark.parametrize(
    "state",
    [
        None, b"", b"{", b"[" * 3000, b"{}", b'{"embedder": "other", "at_one": -5, "per_distance": 20}',
        b'{"embedder": "minilm-l6-v2/7bit-1", "at_one": -99, "per_distance": 20}',
    ],
)  # fmt: skip
def test_what_others_wrote_into_the_store_is_not_believed(state: bytes | None) -> None:
    assert read(state, EMBEDDER) is None
    assert read(msgspec.json.encode(MEASURED), EMBEDDER) == curve_in(MEASURED)
    assert name_of("a") != name_of("b")
