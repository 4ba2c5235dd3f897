"""Which traces are kept, decided in process when a call is over: what went wrong, was slow or dear, and a share of all.

Deciding at the end costs next to nothing, since nothing was built before: a call that is not kept leaves a few marks.
Each destination has rules of its own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from gateway.signals.telemetry import FAULTS
from gateway.signals.tracing import NEVER, draw_of, sampled_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Call
    from gateway.records.settlement import SettledCall


class SampledBy(StrEnum):
    """Why a trace was kept: the first of these that holds. The value stands on the span."""

    ERROR = "error"
    FALLBACK = "fallback"  # or a retry, or a hedge: more than one attempt was made
    SLOW = "slow"
    COST = "cost"
    CALLER = "caller"  # a trusted caller keeps the trace that this call is a part of
    RATIO = "ratio"


class Sampling(NamedTuple):
    """One destination's rules. `errors` False: what went wrong, or took several attempts, is kept by the share only."""

    ratio: float = 0.0
    slow_s: float = 30.0
    cost_nanousd: int | None = None
    errors: bool = True

    def keeps(self, settled: SettledCall) -> SampledBy | None:
        """Why this call's trace is kept; None where it is not."""
        call = settled.call
        if self.errors and settled.outcome in FAULTS:
            return SampledBy.ERROR
        if self.errors and len(settled.attempts) > 1:
            return SampledBy.FALLBACK
        if settled.duration_s >= self.slow_s:
            return SampledBy.SLOW
        if self.cost_nanousd is not None and (settled.cost_nanousd or 0) >= self.cost_nanousd:
            return SampledBy.COST
        if draw_of(call.trace.trace_id) >= sampled_from(self.ratio):
            return SampledBy.RATIO
        # What is sampled beyond the share was sampled by its caller.
        return SampledBy.CALLER if call.trace.parent_id is not None and call.trace.sampled else None


class Outlook(NamedTuple):
    """What all destinations' rules come to, for a look at a call that is not settled yet."""

    slow_s: float
    cost_nanousd: int | None
    errors: bool
    sampled_from: int = NEVER

    def may_keep(self, call: Call) -> bool:
        """Whether somebody will keep it, as far as can be told before it is settled: all but for its cost."""
        trace = call.trace
        if trace.sampled or call.ended_s - call.received_s >= self.slow_s:
            return True
        if int(trace.trace_id[-14:], 16) >= self.sampled_from:  # as `draw_of`, of every call
            return True
        return self.errors and (len(call.attempts) > 1 or call.status >= 500 or call.error_code is not None)

    def is_dear(self, call: Call) -> bool:
        """Whether it is kept for its cost. Once it is settled."""
        least = self.cost_nanousd
        if least is None:
            return False
        return sum([one.cost.total_nanousd for one in call.attempts if one.cost is not None]) >= least


def outlook(rules: Sequence[Sampling]) -> Outlook:
    """The widest of all rules."""
    costs = [one.cost_nanousd for one in rules if one.cost_nanousd is not None]
    return Outlook(
        slow_s=min((one.slow_s for one in rules), default=float("inf")),
        cost_nanousd=min(costs, default=None),
        errors=any(one.errors for one in rules),
        sampled_from=min((sampled_from(one.ratio) for one in rules), default=NEVER),
    )
