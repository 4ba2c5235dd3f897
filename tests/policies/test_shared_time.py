from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from policies.shared_time import Part, SharedTime, advanced, grown, joined, left

Visit = tuple[int, int, int]
"""Who: a group, when it comes, and how long it stays."""

visits = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10**6), st.integers(0, 10**5)), max_size=40)


class Counted:
    """What the clock says of visits, and beside it the time in which there were any, the long way."""

    def __init__(self, arrivals: list[Visit]) -> None:
        events = [(start_ns, 1, index) for index, (_, start_ns, _) in enumerate(arrivals)]
        events += [(start_ns + stay_ns, 2, index) for index, (_, start_ns, stay_ns) in enumerate(arrivals)]
        self.clock = SharedTime(0)
        self.parts = {group: Part() for group in range(3)}
        self.had_ns = [0] * len(arrivals)
        began_ns: dict[int, int] = {}
        for at_ns, kind, index in sorted(events):
            group = arrivals[index][0]
            if kind == 1:
                self.clock = joined(self.clock, at_ns)
                began_ns[index] = self.clock.shown_ns
            else:
                self.clock = left(self.clock, at_ns)
                self.had_ns[index] = self.clock.shown_ns - began_ns[index]
            self.parts[group] = grown(self.parts[group], self.clock, 1 if kind == 1 else -1)


def union_ns(arrivals: list[Visit]) -> int:
    total, reached = 0, 0
    for _, start_ns, stay_ns in sorted(arrivals, key=lambda visit: visit[1]):
        end_ns = start_ns + stay_ns
        total += max(0, end_ns - max(start_ns, reached))
        reached = max(reached, end_ns)
    return total


@given(visits)
def test_all_parts_together_are_the_time_in_which_there_was_anybody(arrivals: list[Visit]) -> None:
    counted = Counted(arrivals)
    assert counted.clock.busy_ns == union_ns(arrivals)
    assert sum(counted.had_ns) + counted.clock.rest_ns == counted.clock.busy_ns
    assert counted.clock.rest_ns <= len(arrivals)
    assert counted.clock.active == 0


@given(visits)
def test_a_group_has_what_its_members_had(arrivals: list[Visit]) -> None:
    counted = Counted(arrivals)
    for group, part in counted.parts.items():
        members = [had for had, (of, _, _) in zip(counted.had_ns, arrivals, strict=True) if of == group]
        assert part.had_ns == sum(members)
        assert part.active == 0


@given(visits)
def test_nobody_has_more_than_he_stayed(arrivals: list[Visit]) -> None:
    counted = Counted(arrivals)
    for had_ns, (_, _, stay_ns) in zip(counted.had_ns, arrivals, strict=True):
        assert 0 <= had_ns <= stay_ns + len(arrivals)


def test_two_thousand_random_requests_conserve_busy_time() -> None:
    rng = random.Random(11)
    arrivals = [(rng.randrange(3), rng.randrange(10**12), round(rng.expovariate(1e-9))) for _ in range(2_000)]
    counted = Counted(arrivals)
    assert sum(counted.had_ns) + counted.clock.rest_ns == union_ns(arrivals)


def test_who_is_alone_has_the_whole_time_and_two_have_half() -> None:
    clock = joined(SharedTime(1_000), 2_000)
    assert (clock.busy_ns, clock.shown_ns) == (0, 0)
    clock = joined(clock, 3_000)
    assert clock.shown_ns == 1_000
    clock = left(clock, 4_000)
    assert (clock.shown_ns, clock.busy_ns) == (1_500, 2_000)
    assert left(clock, 5_000).shown_ns == 2_500


def test_a_clock_that_steps_back_takes_nothing_away() -> None:
    clock = joined(SharedTime(1_000), 2_000)
    assert advanced(clock, 500) == clock
    assert left(left(clock, 3_000), 3_000).active == 0
