"""A caller's call, a far side that a test writes, and errands between them over real attempts."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict, CIMultiDictProxy

from adapters.base import Tally
from adapters.openai_request import parse
from gateway.caching.errands import Errands, Office
from gateway.call import Call, Reply, TraceContext
from gateway.drains import Drains
from gateway.generation import InUse
from gateway.pipeline import compose
from policies.limit_index import LimitIndex
from policies.route_rules import NO_NEEDS
from policies.tariffs import Price
from policies.usage import Usage
from policies.vocabulary import Deployment, Endpoint, OnDisconnect, Principal, Route, Strategy, Target, Timeouts
from tests.gateway.stages.attempt_calls import Whole, a_stage

if TYPE_CHECKING:
    from collections.abc import Callable

PRICE = Price("p", "test", "2026-11-22", input_nanousd=1_000_000, output_nanousd=2_000_000)
MAIN = Deployment("main", "p", "openai", "m", price=PRICE)
CHEAP = Deployment("cheap", "p", "openai", "mini", region="us", price=PRICE)
ANN = Principal("k_ann", "ann", team="t", org="acme")
ROUTE = Route("faq", ("faq",), Strategy.ORDERED, (Target(MAIN),), timeouts=Timeouts(total_s=5.0))


def answer(text: str = "yes", usage: Usage | None = Usage(10, 2)) -> Whole:  # noqa: B008 - a named tuple
    made = Whole()
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    made.body = json.dumps({"choices": [choice]}).encode()
    made.tally = Tally(usage=usage, finish_reasons=["stop"])
    return made


class FarSide:
    """Notes the calls that come, and answers each as `respond` says."""

    def __init__(self, respond: Callable[[Call], Any] = lambda _: answer()) -> None:
        self.calls: list[Call] = []
        self.respond = respond
        self.arrived = asyncio.Event()

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        self.arrived.set()
        found = self.respond(call)
        if asyncio.iscoroutine(found):
            found = await found
        if isinstance(found, BaseException):
            raise found
        attempt = call.attempts[-1]
        attempt.tally = found.tally
        return Reply(found, attempt.deployment)


class Ledger:
    takes_billable = True


class Rig:
    """Errands with everything that they share noted: calls recorded."""

    def __init__(self, respond: Callable[[Call], Any] = lambda _: answer()) -> None:
        self.far_side = FarSide(respond)
        self.recorded: list[Call] = []
        self.ledger = Ledger()
        self.drains = Drains()
        stage, self.fleet = a_stage()
        handler = compose((stage,), self.far_side)
        office = Office(handler, self.recorded.append, cast("Any", self.ledger), self.drains)
        self.errands = Errands(office, random.Random(1))


def a_caller(*deployments: Deployment, route: Route = ROUTE, principal: Principal | None = ANN, **more: Any) -> Call:
    known = {one.id: one for one in deployments or (MAIN, CHEAP)}
    drains = any(one.on_disconnect is OnDisconnect.DRAIN for one in known.values())
    generation = SimpleNamespace(
        limits=LimitIndex(), drains=drains, deployments=known, unpriced="allow", in_use=InUse(), number=1
    )
    fields = {"model": "faq", "messages": [{"role": "user", "content": "How do I cancel?"}], "stream": True}
    return Call(
        id="req_caller",
        request=parse(Endpoint.CHAT, json.dumps(fields).encode()),
        read_body=cast("Any", None),
        headers=CIMultiDictProxy(CIMultiDict({"x-org": "1"})),
        generation=cast("Any", generation),
        trace=TraceContext("7" * 32, "5" * 16, None, sampled=True),
        received_s=0.0,
        received_at_ns=0,
        principal=principal,
        route=route,
        needs=more.pop("needs", NO_NEEDS),
        candidates=tuple(target.to for target in route.targets if isinstance(target.to, Deployment)),
        **more,
    )
