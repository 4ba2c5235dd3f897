"""One call's decision as operators read it: every candidate with its place, score or the reason why not, and each
attempt with how it ended.

The same record is the admin API's answer, the span's attribute, the header that a caller may ask for, and what
`pointsman explain` prints.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct

from gateway.explaining.cache_told import CacheTold, cache_told
from gateway.records.settlement import CANCELLED, OK
from gateway.scrubbing import printable, scrub
from gateway.state.ledger.schema import LedgerRow, storable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.call import Attempt, Cached, Call
    from policies.choosing import Choice
    from policies.route_rules import Needs
    from policies.tariffs import Price
    from policies.vocabulary import Deployment, Failure, Principal, Route

MODEL_CHARS: Final = 200
DETAIL_CHARS: Final = 200
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(tuple[list[LedgerRow], list[tuple[str, float]]]).decode
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long
SET_ASIDE: Final = "set_aside"


class Candidate(Struct, omit_defaults=True):
    """A deployment of the route: either its `place` in the order of trying, from 1, or why it is `refused`. Whom a
    breaker had set aside when the call began was passed over, and is refused as `set_aside`.

    `score` is the strategy's own number, lower is better: nano-USD of `cheapest`, seconds of `fastest` and of the wait
    of `spill`, tokens per slot and weight of `least_busy`, a distance where callers are kept together. `part`: what it
    is a candidate for.
    """

    deployment: str
    credential: str = ""
    place: int | None = None
    part: str = "target"  # target, fallback, context_fallback, content_fallback
    score: float | None = None
    refused: str | None = None
    detail: str = ""


class Step(Struct, omit_defaults=True):
    """One attempt. Times are milliseconds since the call came in."""

    attempt: int
    deployment: str
    credential: str = ""
    kind: str = "first"
    outcome: str = OK
    status: int | None = None
    code: str | None = None
    began_ms: float = 0.0
    first_token_ms: float | None = None
    ended_ms: float | None = None


def deployment_id(one: Candidate | Step) -> str:
    """As `Deployment.id` has it: with its credential, where it has several."""
    return f"{one.deployment}@{one.credential}" if one.credential else one.deployment


class Asked(Struct, omit_defaults=True):
    """What the request needs of whoever answers it. Tokens are upper bounds."""

    capabilities: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int | None = None
    regions: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ()


class Decision(Struct, omit_defaults=True):
    """`status` 0: nothing was sent to anybody. `replay_of`: the earlier call whose answer this one got. `cache`: what
    the route's cache did, where it has one.
    """

    request_id: str
    at_ms: int
    endpoint: str
    model: str
    key: str | None = None
    team: str | None = None
    route: str | None = None
    strategy: str | None = None
    why: str = ""
    needs: Asked = msgspec.field(default_factory=Asked)
    candidates: list[Candidate] = []
    attempts: list[Step] = []
    status: int = 0
    error: str | None = None
    replay_of: str | None = None
    cache: CacheTold | None = None


class Ended(NamedTuple):
    """What is kept of an attempt: nothing of what it said."""

    number: int
    deployment: Deployment
    kind: str
    outcome: str
    failure: Failure | None
    times_s: tuple[float, float | None, float | None]
    price: Price | None


class Kept(NamedTuple):
    """What is kept of a call, to be written out when somebody asks.

    `packed` are the rows that the ledger was handed and the stages' marks, in one piece: thousands of calls' small
    objects, each let go of long after it was made, would cost every later call cold memory.
    """

    id: str
    received_at_ns: int
    endpoint: str
    model: str
    principal: Principal | None
    route: Route | None
    needs: Needs
    choice: Choice | None
    set_aside_s: Mapping[str, float]
    attempts: tuple[Ended, ...]
    status: int
    error: str | None
    replay_of: str | None
    cached: Cached | None
    packed: bytes
    received_s: float = 0.0
    ended_s: float = 0.0
    outcome: str = ""

    @property
    def rows(self) -> list[LedgerRow]:
        return _unpack(self.packed)[0]

    @property
    def marks(self) -> list[tuple[str, float]]:
        return _unpack(self.packed)[1]


def kept(call: Call, rows: Sequence[LedgerRow] = (), outcome: str = "") -> Kept:
    request = call.request
    return _new(Kept, (
        call.id,
        call.received_at_ns,
        request.endpoint._value_,
        request.model[:MODEL_CHARS],
        call.principal,
        call.route,
        call.needs,
        call.choice,
        {} if call.set_aside is None else _passed_over(call, call.set_aside),
        tuple([_ended(attempt, call.received_s) for attempt in call.attempts]),
        call.status,
        call.error_code,
        call.replay_of,
        call.cached,
        _packed(call, rows),
        call.received_s,
        call.ended_s,
        outcome,
    ))  # fmt: skip


def written(of: Kept) -> Decision:
    """The whole record of a call that was kept."""
    principal, route, choice = of.principal, of.route, of.choice
    return Decision(
        request_id=of.id,
        at_ms=of.received_at_ns // 1_000_000,
        endpoint=of.endpoint,
        model=printable(of.model),
        key=None if principal is None else principal.key_name,
        team=None if principal is None else principal.team,
        route=None if route is None else route.name,
        strategy=None if route is None else route.strategy.value,
        why="" if choice is None else choice.why,
        needs=_asked(of.needs),
        candidates=[] if choice is None else list(_candidates(choice, of.set_aside_s)),
        attempts=[_step(attempt) for attempt in of.attempts],
        status=of.status,
        error=of.error,
        replay_of=of.replay_of,
        cache=None if of.cached is None else cache_told(of.cached),
    )


def decision_of(call: Call) -> Decision:
    return written(kept(call))


def _packed(call: Call, rows: Sequence[LedgerRow]) -> bytes:
    try:
        return _pack((rows, call.marks))
    except (OverflowError, UnicodeError):  # as the ledger has them, then
        return _pack(([storable(row) for row in rows], call.marks))


def _asked(needs: Needs) -> Asked:
    return Asked(
        tuple(sorted(needs.capabilities)),
        needs.input_tokens,
        needs.output_tokens,
        tuple(sorted(needs.requires.regions)),
        tuple(sorted(needs.requires.data_classes)),
    )


def _passed_over(call: Call, set_aside: Mapping[str, float]) -> dict[str, float]:
    """Those that were set aside when the call began, and for how long then; but for one that was tried all the same."""
    first = call.attempts[0].deployment.id if call.attempts else ""
    return {id_: until_s - call.received_s for id_, until_s in set_aside.items() if id_ != first}


def _candidates(choice: Choice, set_aside_s: Mapping[str, float]) -> Iterator[Candidate]:
    scores = dict(choice.scores)
    targets, fallbacks = choice.candidates[: choice.primaries], choice.candidates[choice.primaries :]
    place = 0
    for part, deployments in (
        ("target", targets),
        ("fallback", fallbacks),
        ("context_fallback", choice.context_fallbacks),
        ("content_fallback", choice.content_fallbacks),
    ):
        place = place if part == "fallback" else 0
        for deployment in deployments:
            aside_s = set_aside_s.get(deployment.id)
            place += aside_s is None
            yield _candidate(deployment, place, part, scores) if aside_s is None else _aside(deployment, part, aside_s)
    for deployment, reason, detail in choice.rejected:
        yield Candidate(deployment.name, deployment.credential, refused=reason.value, detail=detail[:DETAIL_CHARS])


def _candidate(deployment: Deployment, place: int, part: str, scores: Mapping[str, float]) -> Candidate:
    score = scores.get(deployment.id)
    known = None if score is None or not math.isfinite(score) else round(score, 6)
    return Candidate(deployment.name, deployment.credential, place, part, known)


def _aside(deployment: Deployment, part: str, aside_s: float) -> Candidate:
    for_s = f"for {aside_s:.3g} s" if math.isfinite(aside_s) else ""
    return Candidate(deployment.name, deployment.credential, None, part, refused=SET_ASIDE, detail=for_s)


def _ended(attempt: Attempt, received_s: float) -> Ended:
    failure = attempt.failure
    if failure is not None:
        outcome = failure.kind.value
    elif attempt.stopped is not None:
        outcome = attempt.stopped
    else:
        outcome = CANCELLED if attempt.cancelled else OK
    first_s, ended_s = attempt.first_token_s, attempt.ended_s
    times = (
        attempt.started_s - received_s,
        None if first_s is None else first_s - received_s,
        None if ended_s is None else ended_s - received_s,
    )
    cost = attempt.cost
    price = None if cost is None else cost.price
    return _new(Ended, (attempt.number, attempt.deployment, attempt.kind, outcome, failure, times, price))


def _step(ended: Ended) -> Step:
    failure, (began_s, first_s, ended_s) = ended.failure, ended.times_s
    return Step(
        ended.number,
        ended.deployment.name,
        ended.deployment.credential,
        ended.kind,
        ended.outcome,
        None if failure is None else failure.status,
        None if failure is None or failure.code is None else scrub(failure.code)[:64],
        _ms(began_s),
        None if first_s is None else _ms(first_s),
        None if ended_s is None else _ms(ended_s),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
