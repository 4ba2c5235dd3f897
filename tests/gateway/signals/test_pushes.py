from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signals.pushes import (
    LENGTH_BYTES,
    PUSH_BYTES_MAX,
    BadPush,
    Counters,
    Gauges,
    Growth,
    Heard,
    Hello,
    Histograms,
    Observations,
    Push,
    body_bytes,
    framed,
    read_heard,
    read_said,
)
from gateway.signals.telemetry import OVERHEAD

COUNTS = (0,) * len(OVERHEAD.buckets) + (1,)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def a_push(
    *,
    counter: str = "pointsman_team_requests_total",
    labels: tuple[str, ...] = ("a", "ok"),
    by: int = 1,
    counts: tuple[int, ...] = COUNTS,
    spent_s: float = 0.5,
    exemplars: dict[int, tuple[str, float]] | None = None,
    gauge: tuple[tuple[str, ...], float] = (("r",), 1),
    shared: tuple[tuple[str, ...], ...] = (),
) -> Push:
    return Push(
        7,
        1,
        (Counters(counter, (Growth(labels, by),)),),
        (Histograms(OVERHEAD.name, (Observations(("r",), counts, spent_s, exemplars or {}),)),),
        (Gauges("pointsman_inflight_requests", (gauge,), shared),),
    )


def said(push: Push | Hello) -> Push | Hello:
    whole = framed(push)
    assert body_bytes(whole[:LENGTH_BYTES]) == len(whole) - LENGTH_BYTES
    return read_said(whole[LENGTH_BYTES:])


def test_what_is_possible_comes_through_as_it_was() -> None:
    for message in (
        Hello(3, 1 << 62),
        a_push(),
        a_push(exemplars={1: (TRACE, 0.0007)}),
        Push(1, 2),
        a_push(shared=(("r",),)),
    ):
        assert said(message) == message
    assert read_heard(framed(Heard(9))[LENGTH_BYTES:]) == Heard(9)


@pytest.mark.parametrize(
    "push",
    [
        a_push(counter="made_up_total"),
        a_push(counter="pointsman_inflight_requests"),
        a_push(labels=("a",)),
        a_push(labels=("a", "ok", "more")),
        a_push(labels=("a" * 513, "ok")),
        a_push(by=-1),
        a_push(shared=(("r", "more"),)),
        a_push(counts=COUNTS[1:]),
        a_push(counts=(*COUNTS[1:], -1)),
        a_push(spent_s=float("nan")),
        a_push(spent_s=float("inf")),
        a_push(exemplars={99: (TRACE, 1.0)}),
        a_push(exemplars={-1: (TRACE, 1.0)}),
        a_push(exemplars={0: ('"} 1\nmade_up 2', 1.0)}),
        a_push(exemplars={0: (TRACE, float("nan"))}),
        a_push(gauge=(("r",), float("nan"))),
        a_push(gauge=((), 1)),
    ],
)
def test_what_cannot_be_is_refused_whole(push: Push) -> None:
    with pytest.raises(BadPush):
        read_said(msgspec.msgpack.encode(push))


def test_more_gauges_than_anybody_has_are_refused() -> None:
    values = tuple(((str(number),), 1) for number in range(20_001))
    with pytest.raises(BadPush, match="too many gauges"):
        read_said(msgspec.msgpack.encode(Push(1, 1, gauges=(Gauges("pointsman_inflight_requests", values),))))


def test_a_message_that_is_too_long_is_neither_sent_nor_waited_for() -> None:
    with pytest.raises(BadPush):
        body_bytes((PUSH_BYTES_MAX + 1).to_bytes(LENGTH_BYTES, "big"))
    long = tuple(Growth((f"{number:0500}", "ok"), 1) for number in range(PUSH_BYTES_MAX // 500 + 1))
    with pytest.raises(BadPush):
        framed(Push(1, 1, (Counters("pointsman_team_requests_total", long),)))


@given(st.binary(max_size=300))
def test_noise_is_refused_or_possible(body: bytes) -> None:
    try:
        message = read_said(body)
    except BadPush:
        return
    assert isinstance(message, Hello | Push)


def test_what_is_no_answer_is_none() -> None:
    with pytest.raises(BadPush):
        read_heard(b"\xc0")
