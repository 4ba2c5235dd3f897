"""Which of a route's deployments may answer a request, which first, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.latency import UNKNOWN_LATENCY, Latency
from policies.route_rules import NO_NEEDS, Needs

if TYPE_CHECKING:
    from collections.abc import Collection

    from policies.vocabulary import Deployment, Route


class Refused(StrEnum):
    """Why a deployment is no candidate for a request. The value is what operators read, and a metric label."""

    ENDPOINT = "endpoint"
    CAPABILITY = "capability"
    CONTEXT = "context"
    REGION = "region"
    DATA_CLASS = "data_class"
    WHEN = "when"  # of a route inside the route
    COST = "cost"  # beyond the guard of a spill
    PRICE = "price"  # unknown, where a budget or the guard of a spill has to count it


class Rejection(NamedTuple):
    """One deployment that was ruled out; `detail` names what it lacks, in a few words."""

    deployment: Deployment
    reason: Refused
    detail: str = ""


class Choice(NamedTuple):
    """The candidates of one call in the order to try, and how that order came about.

    The first `primaries` are targets, the rest declared fallbacks. `scores` are the strategy's own numbers by
    deployment id, lower is better, infinite where nothing is known, empty where it has none; `why` says what decided,
    in a few words. `context_fallbacks` and `content_fallbacks` are tried only after a failure of that kind.
    `candidates` may be empty: where conditions of nested routes rule out all that could have answered. `wakes` is the
    id of a deployment that was passed over because its model is not loaded, and should be now.
    """

    candidates: tuple[Deployment, ...]
    primaries: int
    rejected: tuple[Rejection, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()
    why: str = ""
    context_fallbacks: tuple[Deployment, ...] = ()
    content_fallbacks: tuple[Deployment, ...] = ()
    wakes: str | None = None


class Caller(NamedTuple):
    """Who is calling, as far as choosing goes by it. `user` is the request's own, else the key's."""

    key_id: str = ""
    user: str = ""
    team: str = ""


NOBODY: Final = Caller()


class Asked(NamedTuple):
    """One call that candidates are put in order for.

    `session` is what the route's affinity goes by where that is not the caller: the header's value, or the digest of
    the conversation's beginning. `prefix` is that digest whatever the affinity, `prefix_tokens` how much of the input
    it covers. `met` names the nested routes whose `when` holds. `rejected` are those ruled out before. `now_s` is the
    moment in Unix seconds where prices are compared, which may change in time.
    """

    route: Route
    capable: tuple[Deployment, ...]
    needs: Needs = NO_NEEDS
    caller: Caller = NOBODY
    session: str = ""
    met: frozenset[str] = frozenset()
    rejected: tuple[Rejection, ...] = ()
    prefix: str = ""
    prefix_tokens: int = 0
    now_s: float = 0.0


class Line(NamedTuple):
    """The line at a deployment, as it tells itself: `queued` calls wait there, `running` ones have one of its `slots`.

    `wait_s` is how long a newcomer would wait for its turn, where that can be told. `is_cold`: the model is not loaded;
    the wait is then for that as well.
    """

    queued: int = 0
    running: int = 0
    slots: int | None = None
    wait_s: float | None = None
    is_cold: bool = False

    @property
    def is_full(self) -> bool:
        """A newcomer would have to wait."""
        return self.is_cold or self.queued > 0 or (self.slots is not None and self.running >= self.slots)


class Seen(NamedTuple):
    """What is known of one deployment at this moment.

    `in_flight` counts calls under way here, `in_flight_tokens` what they may come to use; `line` is None where the
    deployment does not tell. `prefixes` are the digests that were sent there lately.
    """

    in_flight: int = 0
    in_flight_tokens: int = 0
    line: Line | None = None
    latency: Latency = UNKNOWN_LATENCY
    prefixes: Collection[str] = ()
    set_aside_until_s: float | None = None


NOT_SEEN: Final = Seen()

LiveNumbers = Mapping[str, Seen]
"""By deployment id; of those that are not in it nothing is known."""
