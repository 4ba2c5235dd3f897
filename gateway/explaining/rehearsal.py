"""A policy's decisions without its upstreams: the gateway's own stages over an idle fleet, and nothing is sent.

What only a running gateway knows (latencies, loads, breakers) is as it is at a start, unless a question says which
deployments are down.
"""

from __future__ import annotations

import time
from math import inf
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from adapters.base import Tally
from adapters.schema import InferenceRequest
from gateway.app import compiled, digest_of, when_full
from gateway.call import Call, Reply
from gateway.config.compile import held_keys, limits_of, zone_of
from gateway.config.compile_prices import unpriced_of
from gateway.config.problems import did_you_mean
from gateway.errors import GatewayError, InternalError
from gateway.generation import Generation
from gateway.keys.virtual_keys import KeyRing
from gateway.lifecycle import Lifecycle
from gateway.pipeline import compose
from gateway.prompts.estimates import Estimator
from gateway.prompts.tokens import TokenCounter
from gateway.signals.tracing import trace_context
from gateway.stages.authenticate import ANYONE
from gateway.stages.read import Read
from gateway.stages.route import RouteStage
from gateway.state.fleet import Fleet
from policies.calendars import Calendars
from policies.limit_index import LimitIndex
from policies.matching import compile_routes
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config import Config
    from gateway.keys.view import KeyView
    from gateway.upstream import Answer, Exchange
    from policies.choosing import Line
    from policies.limit_index import Bound
    from policies.vocabulary import Principal

SEED: Final = 1
ALL_ASIDE: Final = "all are set aside, so only the one that is back first is asked"


class Question(NamedTuple):
    """One request that nobody sends. `key`: the name of a key of the policy file; `down`: deployments, by name or
    `NAME@CREDENTIAL`, that are set aside; `at_s`: seconds since the epoch, now when left out.
    """

    body: bytes
    endpoint: Endpoint = Endpoint.CHAT
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    at_s: float | None = None
    down: frozenset[str] = frozenset()


class Rehearsed(NamedTuple):
    """What came of a question: the call as far as it got, the error that ended it, and the limits that bind it."""

    call: Call
    error: GatewayError | None
    bounds: tuple[Bound, ...]


class NoSuchKey(ValueError):  # noqa: N818 - it names what is missing
    """The question's key is not in the policy file."""


class NoSuchDeployment(ValueError):  # noqa: N818 - as above
    """A deployment that a question or an expectation names is not in the policy file."""


class Rehearsal:
    """One policy. Questions are answered one after another, and rotations move on between them as they would."""

    def __init__(self, config: Config) -> None:
        self.generation = _generation(config)
        ring = KeyRing(held_keys(config), b"rehearsal")
        self.principals: dict[str, Principal] = {found.key_name: found for found in ring.principals()}
        self._clock = 0.0
        self._rng = Random(SEED)  # noqa: S311 - the same answers every time
        self._fleet = Fleet(lambda: self._clock)
        counts = Estimator(TokenCounter())
        self._run = compose((Read(), RouteStage(Lifecycle(), counts)), self._choose)
        self._asked = 0
        self._down: frozenset[str] = frozenset()

    def principal_of(self, key: str | None) -> Principal:
        """Raises `NoSuchKey`, also where no key is named and the policy has some."""
        if key is None and not self.principals:
            return ANYONE
        if key in self.principals:
            return self.principals[key]
        known = ", ".join(sorted(self.principals)[:20]) or "none"
        raise NoSuchKey(f"{'name a key' if key is None else f'there is no key {key}'}; the policy has: {known}")

    def check_deployments(self, names: Iterable[str], *, or_ids: bool = False) -> None:
        """Raises `NoSuchDeployment` for the first that the policy does not have."""
        known = self.generation.deployments
        words = {deployment.name for deployment in known.values()}.union(known if or_ids else ())
        for name in names:
            if name not in words:
                raise NoSuchDeployment(f"there is no deployment {name}{did_you_mean(name, sorted(words))}")

    async def ask(self, question: Question) -> Rehearsed:
        """Raises `NoSuchKey`, `NoSuchDeployment`."""
        principal = self.principal_of(question.key)
        self.check_deployments(question.down, or_ids=True)
        call = self._call(question, principal)
        self._down = question.down
        error = None
        try:
            await self._run(call)
        except GatewayError as refused:
            error = refused
            call.error_code, call.status = refused.code, refused.status
        bounds = () if call.route is None else self.generation.limits.of_call(principal, call.route)
        return Rehearsed(call, error, bounds)

    def _call(self, question: Question, principal: Principal) -> Call:
        async def body() -> bytes:
            return question.body

        self._asked += 1
        at_s = time.time() if question.at_s is None else question.at_s
        call = Call(
            id=f"req_{self._asked:028x}",
            request=InferenceRequest.unread(question.endpoint),
            read_body=body,
            headers=CIMultiDictProxy(CIMultiDict(question.headers)),
            generation=self.generation,
            trace=trace_context(None, self._rng),
            received_s=self._clock,
            received_at_ns=round(at_s * 1e9),
        )
        call.principal = principal
        return call

    async def _choose(self, call: Call) -> Reply:
        choice = self._fleet.choose(call, self._clock, self._rng)
        call.choice = choice
        down = {d.id: inf for d in call.candidates if self._down & {d.name, d.id}}
        if any(d.id not in down for d in choice.candidates):
            call.set_aside = down
        elif down:  # the last one is never ejected
            call.choice = choice._replace(why=ALL_ASIDE)
        return Reply(_Nothing(), call.candidates[0])


class _Idle:
    """An upstream that nobody waits for, and nothing is sent to."""

    ready = True
    line: Line | None = None

    def wake(self) -> None:
        """There is nothing to load."""

    async def send(self, exchange: Exchange) -> Answer:
        raise InternalError(f"a rehearsal sends nothing, not even {exchange.request_id}")

    async def start(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        """There is nothing to close."""

    def describe(self) -> dict[str, str | int | float | None]:
        return {}


class _Nothing:
    """The answer of nobody."""

    body: bytes | None = b""
    headers: tuple[tuple[str, str], ...] = ()
    first_token_s: float | None = None

    def __init__(self) -> None:
        self.tally = Tally()

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        """There is nothing to abandon."""


def _generation(config: Config) -> Generation:
    known, routes, prices_date = compiled(config)
    return Generation(
        number=0,
        config=config,
        digest=digest_of(config),
        keys=cast("KeyView", None),  # a question names its key
        routes=routes,
        index=compile_routes(routes),
        deployments=known,
        upstreams={id_: _Idle() for id_ in known},
        forwarded={},
        limits=LimitIndex(limits_of(config)),
        calendars=Calendars(zone_of(config)),
        unpriced=unpriced_of(config),
        prices_date=prices_date,
        when_full=when_full(config),
    )


def body_of(request: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(request)
