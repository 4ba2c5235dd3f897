"""How a scenario is judged, after the methodology of the public Failover Bench (v0.1): what the caller got and what the
provider saw, together.

    pass     the best that could come came, and every check holds
    partial  it came, but a check that only advises does not hold
    safe     it did not come, but a clean error did, in time, and every binding check holds
    fail     a binding check does not hold, or the call hung, or what is not the whole answer passed for one

To the public checks two of the house are added, which bind in every scenario: what a caller has heard is the beginning
of the true text, and `[DONE]` is said exactly when the answer is whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from tests.wall_faults import TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wall_faults import Attempt


class Verdict(StrEnum):
    PASS = "pass"
    PARTIAL = "partial"
    SAFE = "safe"
    FAIL = "fail"


class Ended(StrEnum):
    """How a call ended for its caller."""

    ANSWERED = "answered"
    ERROR = "error"
    HUNG = "hung"


@dataclass(frozen=True)
class Heard:
    """One call as its caller saw it. `sent_s` is on the wall's clock, `first_s` and `took_s` count from there."""

    ended: Ended
    took_s: float
    sent_s: float = 0.0
    text: str = ""
    error: str = ""
    model: str = ""
    usage: dict[str, int] | None = None
    done: bool = False
    first_s: float | None = None

    @property
    def is_whole(self) -> bool:
        return self.ended is Ended.ANSWERED and self.text == TEXT

    @property
    def is_truncated(self) -> bool:
        """What is not the whole answer passes for one."""
        return self.ended is Ended.ANSWERED and self.text != TEXT


@dataclass(frozen=True)
class Seen:
    """One scenario from both sides. `calls` is one call, or those of a sequence in their order.

    `outage_s`: how long the primary was down, for a sequence. `alive`: a healthy call went through afterwards.
    """

    calls: tuple[Heard, ...]
    primary: tuple[Attempt, ...]
    spare: tuple[Attempt, ...]
    spare_model: str
    alive: bool = True
    outage_s: float = 0.0

    @property
    def last(self) -> Heard:
        return self.calls[-1]

    @property
    def ended(self) -> Ended:
        """The worst of all calls."""
        ends = {call.ended for call in self.calls}
        return next(end for end in (Ended.HUNG, Ended.ERROR, Ended.ANSWERED) if end in ends)

    @property
    def took_s(self) -> float:
        return max(call.took_s for call in self.calls)

    @property
    def gap_s(self) -> float | None:
        """Between the first two attempts at the primary."""
        return self.primary[1].at_s - self.primary[0].at_s if len(self.primary) > 1 else None

    @property
    def during_outage(self) -> tuple[Heard, ...]:
        return tuple(call for call in self.calls if call.sent_s - self.calls[0].sent_s < self.outage_s)

    @property
    def recovered_after_s(self) -> float | None:
        """From the end of the outage until the primary answered again."""
        again = [attempt.at_s for attempt in self.primary if attempt.did == "answered"]
        return min(again) - self.primary[0].at_s - self.outage_s if again else None


class Check(NamedTuple):
    """One thing that must hold. `advises`: it only lowers a pass to partial. `tells`: it never matters."""

    name: str
    holds: Callable[[Seen], bool]
    advises: bool = False
    tells: bool = False


HOUSE = (
    Check("begins as the true text does", lambda seen: all(TEXT.startswith(call.text) for call in seen.calls)),
    Check(
        "[DONE] exactly when whole",
        lambda seen: all(call.done is call.is_whole for call in seen.calls if call.ended is not Ended.HUNG),
    ),
)


@dataclass(frozen=True)
class Score:
    verdict: Verdict
    broken: tuple[str, ...] = ()
    told: tuple[str, ...] = field(default=(), compare=False)


def score(checks: tuple[Check, ...], seen: Seen, *, error_is_best: bool = False) -> Score:
    """The verdict, and the names of the checks that do not hold."""
    broken = [check for check in (*checks, *HOUSE) if not check.holds(seen)]
    told = tuple(check.name for check in broken if check.tells)
    binding = tuple(check.name for check in broken if not check.advises and not check.tells)
    advising = tuple(check.name for check in broken if check.advises and not check.tells)
    if seen.ended is Ended.HUNG:
        return Score(Verdict.FAIL, ("hung", *binding), told)
    if any(call.is_truncated for call in seen.calls):
        return Score(Verdict.FAIL, ("passed off what was not whole", *binding), told)
    if binding:
        return Score(Verdict.FAIL, binding, told)
    if seen.ended is Ended.ANSWERED and error_is_best:
        return Score(Verdict.PARTIAL, ("answered what had been refused", *advising), told)
    if seen.ended is Ended.ERROR and not error_is_best:
        return Score(Verdict.SAFE, advising, told)
    return Score(Verdict.PARTIAL if advising else Verdict.PASS, advising, told)


# checks that several scenarios share


def tried_at_least(count: int) -> Callable[[Seen], bool]:
    return lambda seen: len(seen.primary) >= count


def tried_at_most(count: int) -> Callable[[Seen], bool]:
    return lambda seen: len(seen.primary) <= count


def tried_once(seen: Seen) -> bool:
    return len(seen.primary) == 1


def within(limit_s: float) -> Callable[[Seen], bool]:
    return lambda seen: seen.took_s <= limit_s


def at_most_within(count: int, window_s: float) -> Callable[[Seen], bool]:
    """No more than so many attempts at the primary in the first seconds."""
    return lambda seen: sum(a.at_s - seen.primary[0].at_s < window_s for a in seen.primary) <= count


def waited_at_least(wait_s: float) -> Callable[[Seen], bool]:
    return lambda seen: seen.gap_s is not None and seen.gap_s >= wait_s


def is_alive(seen: Seen) -> bool:
    return seen.alive


def names_the_spare(seen: Seen) -> bool:
    return not seen.spare or seen.last.model == seen.spare_model


def tells_usage(seen: Seen) -> bool:
    return bool(seen.last.usage)


def does_not_blame_prefill(seen: Seen) -> bool:
    """A refused prefill is not what the caller gets for an answer."""
    refused = any(attempt.did.endswith("invalid_prefill") for attempt in seen.spare)
    return not (refused and seen.ended is Ended.ERROR)


def served_during_outage(seen: Seen) -> bool:
    return bool(seen.during_outage) and all(call.is_whole for call in seen.during_outage)


def recovered_within(limit_s: float) -> Callable[[Seen], bool]:
    return lambda seen: seen.recovered_after_s is not None and seen.recovered_after_s <= limit_s


def probes_sparingly(seen: Seen) -> bool:
    """While the primary is down it is tried no more often than there are calls."""
    down = [a for a in seen.primary if a.at_s - seen.primary[0].at_s < seen.outage_s]
    return len(down) <= len(seen.during_outage)
