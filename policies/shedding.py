"""Whether a gateway that cannot keep up refuses calls, how many, and whose first.

Past its capacity a server that takes everything finishes nothing: each call waits behind all the others until whoever
made it has gone. What is refused at once leaves the rest served at the speed of a busy day.

The sign is how late the event loop runs what is due, seen several times in a row: a machine that is busy but keeps up
is late now and then, and a stall, however long, is one late moment. Once it is there, the share of calls that is let in
shrinks while the loop is later than a tenth of what is tolerated, so that refusals come quickly too, and is not
catching up; it grows back while the loop is in time. Shrinking by a factor and growing by a sum is how TCP shares a
line; that only a standing delay counts is CoDel's (Nichols and Jacobson, 2012), the order by priority DAGOR's (2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.route_rules import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.route_rules import ShedRules

LATE_IN_A_ROW: Final = 3
CALM_PART: Final = 0.1
"""Of the delay that is tolerated: where the loop is held while calls are shed."""
FIRST_SHARE: Final = 0.5
SHRINK_PER_S: Final = 0.05
SHRINK_MAX: Final = 0.5
"""Looks come as seldom as the loop is late, so it goes by time; but no single look can halve it more than once."""
GROWTH_PER_S: Final = 0.15
CALM_LOOKS: Final = 10
"""In a row make it grow as fast again: when the crowd has gone, nobody should be refused for long."""
CATCHING_UP: Final = 0.97
"""Of the last delay: below that the loop is on its way back, and refusing more would only leave it idle later."""
SHARE_MIN: Final = 0.02
"""Somebody is always let in, or nobody would find out that it is over."""
MIX_MEMORY: Final = 0.8
ROOM_PART: Final = {Priority.LOW: 0.7, Priority.NORMAL: 0.9, Priority.HIGH: 0.95, Priority.CRITICAL: 1.0}
"""How much of `calls_max` each priority may fill."""

Shares = tuple[float, ...]
ALL_IN: Final[Shares] = (1.0,) * len(Priority)


class ShedState(NamedTuple):
    """`share` is how much of all calls is let in, `shares` how much of each priority's, lowest first. `mix` is how many
    of each came of late; `late` counts late moments in a row, `calm` those in time while calls are shed;
    `delay_s` is the last one's.
    """

    share: float = 1.0
    shares: Shares = ALL_IN
    late: int = 0
    mix: Shares = (0.0,) * len(Priority)
    delay_s: float = 0.0
    calm: int = 0

    @property
    def is_shedding(self) -> bool:
        return self.share < 1.0


AT_EASE: Final = ShedState()


def observe(state: ShedState, delay_s: float, since_s: float, came: Sequence[int], rules: ShedRules) -> ShedState:
    """The state after one more look: how late the loop was, how long after the last look, and how many calls of each
    priority came since then.
    """
    if not state.is_shedding:
        late = state.late + 1 if delay_s > rules.delay_max_s else 0
        if late < LATE_IN_A_ROW:
            return state if late == state.late else AT_EASE._replace(late=late)
        return ShedState(FIRST_SHARE, shares_of(FIRST_SHARE, state.mix), 0, state.mix, delay_s)
    share, calm = state.share, 0
    if delay_s <= rules.delay_max_s * CALM_PART:
        calm = state.calm + 1
        share += GROWTH_PER_S * min(since_s, 0.5) * (1.0 + calm / CALM_LOOKS)
    elif delay_s > state.delay_s * CATCHING_UP:
        share = max(SHARE_MIN, share * max(SHRINK_MAX, SHRINK_PER_S**since_s))
    if share >= 1.0:
        return AT_EASE
    mix = tuple(MIX_MEMORY * was + now for was, now in zip(state.mix, came, strict=True))
    return ShedState(share, shares_of(share, mix), 0, mix, delay_s, calm)


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
