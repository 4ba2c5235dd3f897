"""Calls that the cache makes for its own sake: shadow checks, questions to judges, embeddings by a deployment.

Each is a call like any other from its attempts on: it has an id of its own, a principal within its caller's org, rows
in the ledger, attempts, tokens and cost on metrics, a line in the log, and a span in the caller's trace; limits of
deployments, breakers and lines of engines see it. What is the caller's (keys, limits, the cache itself) it does not
pass through: he did not ask for it and does not pay for it. So it is nobody's request either, and is counted apart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.call import Call, MadeFor, TraceContext
from gateway.errors import GatewayError, InternalError, UpstreamError
from gateway.records.settlement import price_of
from gateway.signals.cache_telemetry import Purpose
from gateway.stages.admit import keep_priced
from gateway.state.ledger.schema import ERRAND_KEY
from policies.caller_view import caller_view
from policies.capabilities import filter_candidates
from policies.route_rules import NO_NEEDS, Needs, Priority, Requirements
from policies.vocabulary import Deployment, Principal, Route, Strategy, Target, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from adapters.schema import InferenceRequest
    from gateway.call import Attempt
    from gateway.drains import Drains
    from gateway.limits.reservations import Spending
    from gateway.pipeline import Handler

log = logging.getLogger(__name__)

AT_ONCE: Final = {Purpose.SHADOW: 4, Purpose.JUDGE: 32, Purpose.EMBEDDING: 64}
"""How many of each kind there are at most; what is beyond is not made."""
KEPT: Final = 512
GAVE_UP: Final = "cache_gave_up"
GAVE_UP_STATUS: Final = 499
_NO_HEADERS: Final = CIMultiDictProxy(CIMultiDict[str]())


class ErrandFailed(Exception):  # noqa: N818 - the cache goes on without
    """It was not made, or came to nothing; the message is a word for metrics."""


class Errand(NamedTuple):
    """What is to be asked, of whom, and on whose behalf. `caller` is pinned by whoever sends this."""

    purpose: Purpose
    caller: Call
    request: InferenceRequest
    route: Route
    candidates: tuple[Deployment, ...]
    within_s: float
    needs: Needs = NO_NEEDS


class Told(NamedTuple):
    """A whole answer, and what it cost where that is known."""

    body: bytes
    cost_nanousd: int | None


class Office(NamedTuple):
    """What errands share with other calls. `handler` begins with the attempts; `record` takes a call that is over."""

    handler: Handler
    record: Callable[[Call], object]
    ledger: Spending
    drains: Drains


class Errands:
    """Process scope."""

    def __init__(self, office: Office, rng: Random) -> None:
        self._office = office
        self._rng = rng
        self._under_way = dict.fromkeys(Purpose, 0)
        self._principals: dict[tuple[Purpose, str], Principal] = {}
        self._routes: dict[tuple[Purpose, str, float, Requirements], Route] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return sum(self._under_way.values())

    def to(self, purpose: Purpose, caller: Call, deployment: str, request: InferenceRequest, within_s: float) -> Errand:
        """An errand to the deployments of that name, as far as they may see what the caller sends. Raises
        `ErrandFailed` where none may.
        """
        generation, binding = caller.generation, caller.needs.requires
        found = tuple(
            one
            for one in generation.deployments.values()
            if one.name == deployment and request.endpoint in one.endpoints
        )
        requires = Requirements() if caller.route is None else caller.route.requires
        key = (purpose, deployment, within_s, requires)
        route = self._routes.get(key)
        if route is None or route.targets != tuple(map(Target, found)):
            if len(self._routes) >= KEPT:
                self._routes.clear()
            route = self._routes[key] = _route(f"{ERRAND_KEY}{purpose.value}/{deployment}", found, within_s, requires)
        candidates, _ = filter_candidates(route, found, NO_NEEDS._replace(requires=binding))
        if not candidates:
            raise ErrandFailed("nobody")
        return Errand(purpose, caller, request, route, candidates, within_s, NO_NEEDS._replace(requires=binding))

    async def run(self, errand: Errand) -> Told:
        """The answer. Raises `ErrandFailed`; however it ends, it is recorded once."""
        if self._is_closed or self._under_way[errand.purpose] >= AT_ONCE[errand.purpose]:
            raise ErrandFailed("closed" if self._is_closed else "crowded")
        if not self._office.ledger.takes_billable:
            raise ErrandFailed("ledger")
        call = self._open(errand)
        self._under_way[errand.purpose] += 1
        try:
            async with asyncio.timeout(errand.within_s):
                return await self._made(call)
        except TimeoutError:
            _give_up(call)
            raise ErrandFailed("late") from None
        except asyncio.CancelledError:
            _give_up(call)
            raise
        except GatewayError as error:
            call.status, call.error_code = _told_of(error)
            raise ErrandFailed("failed") from error
        except Exception as bug:
            log.exception("a call of the cache's own failed inside the gateway")
            call.status, call.error_code = InternalError.status, InternalError.code
            raise ErrandFailed("failed") from bug
        finally:
            self._under_way[errand.purpose] -= 1
            call.ended_s = time.monotonic()
            self._end(call)

    def close(self) -> None:
        """No further ones are made."""
        self._is_closed = True

    async def _made(self, call: Call) -> Told:
        if call.generation.unpriced == "deny":
            keep_priced(call)
        reply = await self._office.handler(call)
        body = reply.answer.body
        if body is None:
            reply.answer.close()
            raise InternalError("a whole answer was asked for")
        call.status = 200
        return Told(body, _cost_of(call.decisive))

    def _open(self, errand: Errand) -> Call:
        caller, purpose = errand.caller, errand.purpose
        call = Call(
            id=f"req_{time.time_ns() // 1_000_000:012x}{self._rng.getrandbits(64):016x}",
            request=errand.request,
            read_body=_no_body,
            # A shadow goes where its caller's headers would have had it go.
            headers=caller.headers if purpose is Purpose.SHADOW else _NO_HEADERS,
            generation=caller.generation,
            trace=self._trace(purpose, caller.trace),
            received_s=time.monotonic(),
            received_at_ns=time.time_ns(),
            principal=self._principal(purpose, "default" if caller.principal is None else caller.principal.org),
            route=errand.route,
            needs=errand.needs,
            candidates=errand.candidates,
            met=caller.met,
            made_for=MadeFor(purpose, caller.id, "" if caller.route is None else caller.route.name),
        )
        call.generation.in_use.calls += 1
        call.scope.defer(partial(self._office.record, call))
        return call

    def _trace(self, purpose: Purpose, trace: TraceContext) -> TraceContext:
        """A part of the caller's trace; of what it does not wait for, one of its own with a link to that."""
        ids = f"{self._rng.getrandbits(192):048x}"
        if purpose is Purpose.SHADOW:
            return TraceContext(ids[:32], ids[32:], None, trace.sampled, (trace.trace_id, trace.span_id))
        return TraceContext(trace.trace_id, ids[32:], trace.span_id, trace.sampled)

    def _end(self, call: Call) -> None:
        if call.drain is None:
            _close(call)
        else:
            self._office.drains.take_over(call.drain, partial(_close, call), at_once=True)

    def _principal(self, purpose: Purpose, org: str) -> Principal:
        """Always the same one, since what calls of one kind share is kept by its identity."""
        key = (purpose, org)
        found = self._principals.get(key)
        if found is None:
            if len(self._principals) >= KEPT:
                self._principals.clear()
            name = f"{ERRAND_KEY}{purpose.value}"
            # Somebody waits for judges and embeddings, and nobody for a shadow.
            priority = Priority.LOW if purpose is Purpose.SHADOW else Priority.NORMAL
            found = self._principals[key] = Principal(name, name, org=org, priority=priority, uses_cache=False)
        return found


def _route(name: str, found: tuple[Deployment, ...], within_s: float, requires: Requirements) -> Route:
    timeouts = Timeouts(total_s=within_s)
    targets = tuple(map(Target, found))
    return Route(name, (), Strategy.ORDERED, targets, retry_attempts=1, timeouts=timeouts, requires=requires)


def _close(call: Call) -> None:
    call.scope.close()
    call.generation.in_use.release()


def _give_up(call: Call) -> None:
    call.cancelled = True
    call.status, call.error_code = call.status or GAVE_UP_STATUS, GAVE_UP
    for attempt in call.attempts:
        if attempt.ended_s is None and attempt.failure is None:
            attempt.cancelled = True


def _told_of(error: GatewayError) -> tuple[int, str]:
    """The status and code that a caller would see."""
    if isinstance(error, UpstreamError):
        status, _, code, _ = caller_view(error.failure)
        return status, code
    return error.status, error.code


def _cost_of(attempt: Attempt | None) -> int | None:
    """As far as the upstream told its usage."""
    if attempt is None or attempt.tally is None or attempt.tally.usage is None:
        return None
    cost, _ = price_of(attempt.tally.usage, attempt)
    return None if cost is None else cost.total_nanousd


async def _no_body() -> bytes:
    raise InternalError("a call of the cache's own has no body to read")
