"""The sixteen scenarios of the public Failover Bench catalogue (v0.1), told in our own words, and what each demands.

Faults are models of `tests.wall_faults`. Limits of time have two values: those of the catalogue, for the full profile,
and what they become where the wall is faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.end_to_end.failover import scoring as on
from tests.end_to_end.failover.scoring import Check
from tests.wall_faults import FAST, FULL, Timing

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    """So many calls in a row, one every so often."""

    calls: int
    every_s: float


@dataclass(frozen=True)
class Limits:
    """The catalogue's limits that depend on how slow the wall is. `longest_s`: a call that takes longer hangs."""

    silent_s: float
    slow_s: float
    stalled_s: float
    recovered_s: float
    longest_s: float
    flapping: Row


@dataclass(frozen=True)
class Profile:
    """How slow the wall is, what is demanded then, and what a policy has to scale with it.

    `route` and `provider` are added to every route and to the provider; empty, all is as a policy has it by default.
    """

    name: str
    timing: Timing
    limits: Limits
    route: dict[str, Any]
    provider: dict[str, Any]


TRUE = Profile(
    "full",
    FULL,
    Limits(silent_s=100, slow_s=15, stalled_s=45, recovered_s=30, longest_s=130, flapping=Row(20, 4)),
    route={},
    provider={},
)

# The wall waits 4 s instead of 20 for its first token, so the 10 s of an untaught route become 1.5; an outage of 6 s
# instead of 60 makes a tenth of the breaker's times. Everything else is the default in both profiles. The calls in a
# row go on for longer after the outage than the breaker's longest cooldown, whatever a busy machine adds to it.
SCALED = Profile(
    "fast",
    FAST,
    Limits(silent_s=15, slow_s=3.5, stalled_s=5, recovered_s=3, longest_s=18, flapping=Row(24, 0.4)),
    route={"timeouts": {"first_token": "1500ms"}},
    provider={"breaker": {"cooldown": "500ms", "max_cooldown": "2s"}},
)


@dataclass(frozen=True)
class Scenario:
    """A fault, what a gateway should make of it, and how that is checked. `spare`: the fallback's model."""

    id: str
    title: str
    fault: str
    right: str
    checks: Callable[[Limits], tuple[Check, ...]]
    spare: str = "ok"
    error_is_best: bool = False
    is_sequence: bool = False


def always(*checks: Check) -> Callable[[Limits], tuple[Check, ...]]:
    return lambda _limits: checks


BOUNDED = Check("at most six attempts", on.tried_at_most(6))
ONCE = Check("not the same model again", on.tried_once)

SCENARIOS = (
    Scenario(
        "S01",
        "429 with Retry-After",
        "limited-once",
        "Wait as long as was asked, or go elsewhere; no tight loop.",
        always(
            Check("tried again", on.tried_at_least(2), advises=True),
            Check("waited as asked", on.waited_at_least(1.8), advises=True),
            Check("no hammering", on.at_most_within(2, 1.5)),
        ),
    ),
    Scenario(
        "S02",
        "429 without Retry-After, lasting",
        "limited",
        "Back off, then go elsewhere; no hammering.",
        always(Check("no hammering", on.at_most_within(4, 3)), BOUNDED),
    ),
    Scenario(
        "S03",
        "500 once",
        "error-once",
        "Try the same one again.",
        always(Check("the same one again", on.tried_at_least(2), advises=True)),
    ),
    Scenario("S04", "503, lasting", "overloaded", "Go elsewhere after a few attempts.", always(BOUNDED)),
    Scenario("S05", "Reset before the head", "reset-once", "Try again or go elsewhere, and answer.", always()),
    Scenario(
        "S06",
        "No answer at all",
        "silent",
        "Give up in time and go elsewhere, rather than wait for the same one again.",
        lambda limits: (
            Check("in time", on.within(limits.silent_s)),
            Check("the silent one only once", on.tried_at_most(1), advises=True),
        ),
    ),
    Scenario(
        "S07",
        "Late first token",
        "slow",
        "Answer; go elsewhere when the first token is later than is reasonable.",
        lambda limits: (Check("a limit to the first token", on.within(limits.slow_s), advises=True),),
    ),
    Scenario(
        "S08", "Stream cut in the middle", "cut", "All of the answer, or an error. Never a part as if whole.", always()
    ),
    Scenario(
        "S09",
        "Stream stalls",
        "stalled",
        "Notice it in time; all of the answer or an error; be well afterwards.",
        lambda limits: (
            Check("in time", on.within(limits.stalled_s)),
            Check("alive afterwards", on.is_alive),
        ),
    ),
    Scenario(
        "S10",
        "An event that is not JSON",
        "garbled",
        "Pass over it or fail cleanly; nothing of it reaches the caller.",
        always(
            Check("alive afterwards", on.is_alive),
            Check("whole in spite of it", lambda seen: seen.last.is_whole, advises=True),
        ),
    ),
    Scenario(
        "S11",
        "No [DONE]",
        "unmarked",
        "End at once, and tell the usage.",
        always(
            Check("ends at once", on.within(8)),
            Check("tells the usage", on.tells_usage, advises=True),
        ),
    ),
    Scenario("S12", "Prompt too long", "too-long", "Not the same model again; one that can read more.", always(ONCE)),
    Scenario(
        "S13",
        "Refused for its content",
        "filtered",
        "Not the same model again; the caller learns why.",
        always(ONCE, Check("nobody else asked", lambda seen: not seen.spare, tells=True)),
        error_is_best=True,
    ),
    Scenario(
        "S14",
        "Fallback refuses prefill",
        "cut",
        "Continue only where that is possible; the refusal is not what the caller gets.",
        always(Check("no blame on the prefill", on.does_not_blame_prefill)),
        spare="ok-without-prefill",
    ),
    Scenario(
        "S15",
        "Down for a while, then well",
        "flapping",
        "Serve from the fallback, ask now and then, and return.",
        lambda limits: (
            Check("served all the while", on.served_during_outage),
            Check("returned", on.recovered_within(limits.recovered_s)),
            Check("asked sparingly", on.probes_sparingly, tells=True),
        ),
        is_sequence=True,
    ),
    Scenario(
        "S16",
        "The books after a fallback",
        "overloaded",
        "The caller sees the model that answered and its usage; what failed is not billed.",
        always(
            Check("names the fallback", on.names_the_spare),
            Check("tells the usage", on.tells_usage, advises=True),
            BOUNDED,
        ),
    ),
)
