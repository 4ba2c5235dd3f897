"""Whether a gateway that cannot keep up refuses calls, how many, and whose first.

Past its capacity a server that takes everything finishes nothing: each call waits behind all the others until whoever
made it has gone. What is refused at once leaves the rest served at the speed of a busy day.

The sign is how late the event loop runs what is due, of late, while the process is at work on many calls. A machine
that is busy but keeps up is late now and then; a stall, however long, is one late look and counts no more than a short
one; and who is late because others have the processor helps nobody by refusing. Once it is there, the share of calls
that is let in shrinks while the loop is late and is not catching up, and grows back while it is in time. Shrinking by a
factor and growing by a sum is how TCP shares a line; that only a standing delay counts is CoDel's (Nichols and
Jacobson, 2012), the order by priority DAGOR's (Zhou and others, 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.route_rules import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.route_rules import ShedRules

WAITS: Final = 4
"""How often a call waits for the loop at the least: when it comes, to be sent on, for its answer, to be answered."""
NEWEST_PART: Final = 0.2
MOST_PART: Final = 2.0
"""Of what counts as late, the most that one look adds to the smoothed delay: no look alone is late enough."""
LATE_AGAIN: Final = 3
AT_WORK: Final = 0.3
IN_FLIGHT_MIN: Final = 32
"""Who is late with less to do is late for other reasons."""
FULLY_BUSY: Final = 0.985
CALM_BUSY: Final = 0.96
HELD_PART: Final = 0.5
CALM_PART: Final = 0.25
"""Of what counts as late: the loop is held between these while calls are shed, so that refusals come quickly, too."""
FIRST_SHARE: Final = 0.1
"""What was taken on too much must be worked off first, in the time that what is let in meanwhile leaves for it."""
RISE_PER_S: Final = 3.0
"""By this factor the share grows back until the loop is late for the first time: TCP's slow start."""
GROWTH_PER_S: Final = 0.25
CALM_LOOKS: Final = 10
"""In a row make it grow as fast again: when the crowd has gone, nobody should be refused for long."""
SHRINK: Final = 0.85
CATCHING_UP: Final = 0.97
"""Of the last delay: below that the loop is on its way back, and refusing more would only leave it idle later."""
SHARE_MIN: Final = 0.02
"""Somebody is always let in, or nobody would find out that it is over."""
MIX_MEMORY: Final = 0.8
ROOM_PART: Final = {Priority.LOW: 0.7, Priority.NORMAL: 0.9, Priority.HIGH: 0.95, Priority.CRITICAL: 1.0}
"""How much of `calls_max` each priority may fill."""

Shares = tuple[float, ...]
ALL_IN: Final[Shares] = (1.0,) * len(Priority)


class Look(NamedTuple):
    """What was seen: how late the loop was, how long after the last look, which part of that time it was at work, how
    many calls are under way, how many of each priority came since, and how long connections wait to be taken.
    """

    delay_s: float
    since_s: float
    busy: float
    in_flight: int
    came: Sequence[int]
    outside_s: float = 0.0


class ShedState(NamedTuple):
    """`share` is how much of all calls is let in, `shares` how much of each priority's, lowest first. `mix` is how many
    of each came of late. `delay_s` is smoothed while everybody is let in and the last one's otherwise, `busy` always
    smoothed; `late` and `calm` count looks while calls are shed. `is_rising` until it is late for the first time after
    it was let work off what it had.
    """

    share: float = 1.0
    shares: Shares = ALL_IN
    late: int = 0
    mix: Shares = (0.0,) * len(Priority)
    delay_s: float = 0.0
    busy: float = 0.0
    calm: int = 0
    is_rising: bool = False

    @property
    def is_shedding(self) -> bool:
        return self.share < 1.0


AT_EASE: Final = ShedState()


def observe(state: ShedState, look: Look, rules: ShedRules) -> ShedState:
    """The state after one more look."""
    delay_s, late_s = max(look.delay_s, look.outside_s), rules.delay_max_s / WAITS
    busy = state.busy + NEWEST_PART * (look.busy - state.busy)
    if not state.is_shedding:
        smooth_s = state.delay_s + NEWEST_PART * (min(delay_s, late_s * MOST_PART) - state.delay_s)
        has_much_to_do = look.in_flight > IN_FLIGHT_MIN or look.outside_s > rules.delay_max_s
        if smooth_s <= late_s or busy <= AT_WORK or not has_much_to_do:
            return AT_EASE._replace(delay_s=smooth_s, busy=busy)
        return ShedState(FIRST_SHARE, shares_of(FIRST_SHARE, state.mix), 0, state.mix, delay_s, busy, is_rising=True)
    share, late, calm, is_rising = state.share, state.late, 0, state.is_rising
    if delay_s > late_s * HELD_PART or busy > FULLY_BUSY:
        late += 1
        if late >= LATE_AGAIN and (delay_s > state.delay_s * CATCHING_UP or busy > FULLY_BUSY):
            late, share, is_rising = 0, max(SHARE_MIN, share * SHRINK), False
    elif delay_s <= late_s * CALM_PART and busy < CALM_BUSY:
        late, calm, for_s = 0, state.calm + 1, min(look.since_s, 0.5)
        share += for_s * (share * RISE_PER_S if is_rising else GROWTH_PER_S * (1.0 + calm / CALM_LOOKS))
    if share >= 1.0:
        return AT_EASE
    mix = tuple(MIX_MEMORY * was + now for was, now in zip(state.mix, look.came, strict=True))
    return ShedState(share, shares_of(share, mix), late, mix, delay_s, busy, calm, is_rising)


def shares_of(share: float, mix: Shares) -> Shares:
    """How much of each priority is let in when `share` of all is: the highest first, as long as there is room."""
    room = share * sum(mix)
    if not room:
        return tuple(1.0 if priority > Priority.NORMAL else share for priority in Priority)
    found = []
    for load in reversed(mix):
        found.append(1.0 if load < room else room / load if load else 0.0)
        room = max(0.0, room - load)
    return tuple(reversed(found))


def sheds(state: ShedState, priority: Priority, draw: float) -> bool:
    """Whether a call is refused; `draw` is evenly spread over 0 to 1."""
    return draw >= state.shares[priority]


def is_full(in_flight: int, priority: Priority, rules: ShedRules) -> bool:
    """Whether a call of this priority finds no room among the calls that may be in the gateway."""
    return rules.calls_max is not None and in_flight >= rules.calls_max * ROOM_PART[priority]
