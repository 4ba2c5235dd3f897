"""Call and Reply: all that is known of one request, each field under the stage that fills it; no free-form bag.

These are msgspec structs because one of each is made per request, and a struct costs a fifth of a dataclass to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.scope import Scope
from policies.attempts import AttemptKind
from policies.route_rules import NO_NEEDS, Needs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from multidict import CIMultiDictProxy

    from adapters.base import Tally
    from adapters.schema import InferenceRequest
    from gateway.drains import Drain
    from gateway.generation import Generation
    from gateway.limits.admitted import Admitted
    from gateway.signals.cache_telemetry import Purpose
    from gateway.state.answers.store import Used
    from gateway.upstream import Answer
    from policies.cache_rules import Bypass, Level
    from policies.choosing import Choice
    from policies.tariffs import Price
    from policies.usage import Cost, Usage
    from policies.vocabulary import Deployment, Failure, Principal, Route, Timeouts


def no_peer() -> str:
    """The address of a caller who came by no connection: it lies in no network."""
    return ""


class TraceContext(msgspec.Struct, frozen=True):
    """W3C trace identity of one call: ids in lower-case hex. `parent_id` is the span of a caller whose trace this call
    goes on; `linked` the trace and span of one that is not trusted that far.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    linked: tuple[str, str] | None = None


class MadeFor(NamedTuple):
    """Why there is a call that no caller made: what a cache wants to know, and for which request on which route."""

    purpose: Purpose
    request_id: str
    route: str


class Attempt(msgspec.Struct):
    """One try at one deployment. Times ending in `_s` are on the event loop's clock.

    `stopped` is set where neither the deployment nor the caller ended it: our own error code, `refused` for a request
    that this deployment's driver would not send, `hedge_lost` where another was faster. `timeouts` and `request` are
    what it goes by where that is not the route's and the call's own. `gpu_us` is its part of the time of hardware of
    our own, times the processors there. `price` is the one that held when it began, where the deployment's is to
    change; `priced` what was last worked out for its usage: `gateway.records.settlement.price_of` keeps both.
    """

    number: int
    deployment: Deployment
    started_s: float
    first_token_s: float | None = None
    ended_s: float | None = None
    failure: Failure | None = None
    cancelled: bool = False
    stopped: str | None = None
    sent: bool = False
    tally: Tally | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    kind: AttemptKind = AttemptKind.FIRST
    timeouts: Timeouts | None = None
    request: InferenceRequest | None = None
    gpu_us: int | None = None
    price: Price | None = None
    priced: tuple[Usage, Cost | None, str | None] | None = None


class Call(msgspec.Struct):
    """One request on its way. The edge makes it; the stages named below fill it; the recorder reads it at the end."""

    # edge; `request` is an unread one until `read` replaces it
    id: str
    request: InferenceRequest
    read_body: Callable[[], Awaitable[bytes]]
    headers: CIMultiDictProxy[str]
    generation: Generation
    trace: TraceContext
    received_s: float
    received_at_ns: int
    peer: Callable[[], str] = no_peer
    scope: Scope = msgspec.field(default_factory=Scope)
    made_for: MadeFor | None = None  # None for a caller's own
    # each stage that takes time, when it is done: `Mark` in gateway.signals.conventions, on the event loop's clock
    marks: list[tuple[str, float]] = msgspec.field(default_factory=list)
    # authenticate
    principal: Principal | None = None
    # replay; the earlier call whose answer this one gets
    replay_of: str | None = None
    # route; `candidates` are those that can and may answer, `choice` says why the others cannot, `met` names the routes
    # inside the route whose `when` holds
    route: Route | None = None
    needs: Needs = NO_NEEDS
    candidates: tuple[Deployment, ...] = ()
    met: frozenset[str] = frozenset()
    choice: Choice | None = None
    # admit; None where no limit applies
    admitted: Admitted | None = None
    # cache; None where the route has none
    cached: Cached | None = None
    # attempt; `set_aside` are those passed over at first, by id, and until when
    set_aside: Mapping[str, float] | None = None
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    answering: Attempt | None = None  # whose answer goes out; a hedge that lost may have begun after it
    drain: Drain | None = None  # what goes on when the caller has left
    # edge, while the answer goes out
    status: int = 0
    error_code: str | None = None
    cancelled: bool = False
    ended_s: float = 0.0
    sent_bytes: int = 0

    @property
    def decisive(self) -> Attempt | None:
        """The attempt whose answer, or whose failure, the caller got."""
        attempts = self.attempts
        if self.answering is not None or not attempts:
            return self.answering
        last = attempts[-1]
        if last.stopped is None:
            return last
        failed = [attempt for attempt in attempts if attempt.failure is not None]
        return failed[-1] if failed else last


class Cached(msgspec.Struct):
    """What the cache did with a call: served it (`level` says how), missed, or left it alone (`bypass` says why).

    `risk` is how likely a semantic hit is wrong, and `bar` how likely it may be; both, the `similarity` of the nearest
    question and the `veto` that forbade it are kept of misses as well. `saved` is what the answer took when it was
    made. `joined`: another call's answer, while that was under way. `deployment` and `model` are those that the answer
    came from.
    """

    level: Level | None = None
    bypass: Bypass | None = None
    closed: Bypass | None = None  # the level above exact, for this call
    entry_id: str = ""
    age_s: float = 0.0
    risk: float | None = None
    bar: float | None = None
    similarity: float | None = None
    veto: str | None = None
    saved: Used | None = None
    deployment: str = ""
    model: str = ""
    joined: str | None = None
    lookup_s: float = 0.0
    judged: bool = False

    @property
    def is_hit(self) -> bool:
        return self.level is not None


class Reply(msgspec.Struct):
    """What the edge writes to the caller: the answer of one deployment, None where it was kept from an earlier call."""

    answer: Answer
    deployment: Deployment | None
