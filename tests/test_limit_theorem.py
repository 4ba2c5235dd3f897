"""T1 of the limits' theorem: whatever the schedule, no interval settles more than capacity, refill and late overruns.

Two wrong ways of limiting stand beside ours, so that one can see that the check fails where it should.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.limits import Account, Ask, Granted, Hold, Kind, Phase, reap, reserve, settle

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_700_000_000.0


class Bucket(Protocol):
    """One holder under one rate. `reserve` says whether it was granted."""

    def reserve(self, amount: int, now: float) -> bool: ...

    def settle(self, amount: int, actual: int, now: float) -> None: ...

    def reap(self, amount: int, now: float) -> None: ...


class Ours:
    def __init__(self, capacity: int, per_s: float) -> None:
        self.ask = Ask("tokens", Kind.RATE, 0, capacity, per_s)
        self.account: Account | None = None

    def reserve(self, amount: int, now: float) -> bool:
        answer = reserve((self.ask._replace(amount=amount),), (self.account,), now)
        if isinstance(answer, Granted):
            self.account = answer.accounts[0]
        return isinstance(answer, Granted)

    def hold(self, amount: int) -> Hold:
        return Hold("tokens", Kind.RATE, amount, self.ask.rate_per_s)

    def settle(self, amount: int, actual: int, now: float) -> None:
        self.account = settle(self.account, self.hold(amount), actual, Phase.HELD, now)

    def reap(self, amount: int, now: float) -> None:
        self.account = reap(self.account, self.hold(amount), now)


class DeductAndRefund:
    """The usual way: the estimate is taken from the bucket at once, and what was too much is put back to the brim."""

    def __init__(self, capacity: int, per_s: float) -> None:
        self.capacity, self.per_s, self.level, self.at_s = capacity, per_s, float(capacity), NOW

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at_s) * self.per_s)
        self.at_s = now

    def reserve(self, amount: int, now: float) -> bool:
        self.refill(now)
        if amount > self.level:
            return False
        self.level -= amount
        return True

    def settle(self, amount: int, actual: int, now: float) -> None:
        self.refill(now)
        self.level = min(self.capacity, self.level + amount - actual)

    def reap(self, amount: int, now: float) -> None:
        """The estimate was taken already."""


class AddAfterwards(Ours):
    """The other usual way: look whether there is room, and count when it is known how much it was."""

    def reserve(self, amount: int, now: float) -> bool:
        return isinstance(reserve((self.ask._replace(amount=amount),), (self.account,), now), Granted)

    def settle(self, amount: int, actual: int, now: float) -> None:
        del amount
        self.account = settle(self.account, self.hold(0), actual, Phase.MISSING, now)

    def reap(self, amount: int, now: float) -> None:
        self.settle(amount, amount, now)


class Step(NamedTuple):
    """Some time passes; then a call is let in, or the `pick`th call under way ends: settled, or reaped (None)."""

    eighths: int
    pick: int | None
    amount: int
    part: float | None
    beyond: int = 0


class Event(NamedTuple):
    at_s: Fraction
    used: int
    overrun: int
    is_admission: bool


def play(bucket: Bucket, steps: Iterable[Step]) -> list[Event]:
    """What settled when. All calls under way settle at the end, as one crowd."""
    now, live, events = NOW, list[int](), list[Event]()

    def end(amount: int, actual: int | None) -> None:
        if actual is None:
            bucket.reap(amount, now)
        else:
            bucket.settle(amount, actual, now)
        used = amount if actual is None else actual
        events.append(Event(Fraction(now), used, max(0, used - amount), is_admission=False))

    for step in steps:
        now += step.eighths / 8
        if step.pick is None:
            if bucket.reserve(step.amount, now):
                live.append(step.amount)
                events.append(Event(Fraction(now), 0, 0, is_admission=True))
        elif live:
            amount = live.pop(step.pick % len(live))
            end(amount, None if step.part is None else int(amount * step.part) + step.beyond)
    while live:
        amount = live.pop()
        end(amount, amount)
    return events


def worst_ratio(events: list[Event], capacity: int, per_s: float) -> Fraction:
    """The greatest share of its bound that any interval used: above 1 the limit was overshot.

    The bound: capacity + refill + the overruns that settled after the last admission within the interval.
    """
    worst = Fraction(0)
    for i, first in enumerate(events):
        total = overrun = 0
        for event in events[i:]:
            total += event.used
            overrun = 0 if event.is_admission else overrun + event.overrun
            bound = capacity + Fraction(per_s) * (event.at_s - first.at_s) + overrun
            worst = max(worst, total / bound)
    return worst


ADVERSARIES = {
    # A reservation sleeps while the bucket refills under it; its refund comes on top, and another crowd walks in.
    "sleeper": [
        Step(0, None, 50, None),
        Step(8 * 60, None, 100, None),
        Step(0, 1, 0, 1.0),
        Step(0, 0, 0, 0.0),
        Step(0, None, 50, None),
        Step(0, 0, 0, 1.0),
    ],
    "crowd": [Step(0, None, 100, None)] * 6,
    "after a pause": [*([Step(0, None, 50, None)] * 2), Step(8 * 100, None, 100, None), Step(0, None, 100, None)],
}

steps = st.builds(
    Step,
    st.integers(0, 16) | st.integers(0, 800),
    st.none() | st.integers(0, 9),
    st.sampled_from([1, 10, 50, 90, 100]) | st.integers(0, 100),
    st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0, 0, 0, 0, 7, 300]),
)


@given(st.lists(steps, max_size=60), st.sampled_from([0.125, 1.0, 64.0]))
@example(ADVERSARIES["sleeper"], 1.0)
@example(ADVERSARIES["crowd"], 1.0)
@example(ADVERSARIES["after a pause"], 1.0)
def test_t1_no_interval_settles_more_than_capacity_refill_and_overruns(history: list[Step], per_s: float) -> None:
    assert worst_ratio(play(Ours(100, per_s), history), 100, per_s) <= 1


@pytest.mark.parametrize("bucket", [DeductAndRefund, AddAfterwards])
def test_t1_the_usual_ways_are_caught(bucket: type[DeductAndRefund | AddAfterwards]) -> None:
    """The check of T1 can fail."""
    assert max(worst_ratio(play(bucket(100, 1.0), story), 100, 1.0) for story in ADVERSARIES.values()) >= Fraction(5, 4)


def test_t1_the_bound_is_reached_and_so_is_no_looser_than_it_must_be() -> None:
    assert max(worst_ratio(play(Ours(100, 1.0), story), 100, 1.0) for story in ADVERSARIES.values()) == 1
