"""A stage over two or three deployments whose answers come when a test says so."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from adapters.base import Tally
from adapters.schema import InferenceRequest
from gateway.attempts.legs import Desk
from gateway.call import Attempt, Call, Reply, TraceContext
from gateway.stages.attempt import AttemptStage
from gateway.state.fleet import Fleet
from policies.limit_index import LimitIndex
from policies.route_rules import HedgeRules
from policies.vocabulary import Deployment, Endpoint, Route, Strategy, Target, Timeouts

if TYPE_CHECKING:
    from gateway.limits.admission import Admission

A = Deployment("a", "p", "openai", "m")
B = Deployment("b", "p", "openai", "m")
C = Deployment("c", "p", "openai", "m")
AT_ONCE = HedgeRules(share_max=1.0, after_s=0.0)


class Pieces:
    """A stream: its pieces in turn, an error where one stands among them, then its end."""

    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    first_token_s: float | None = 1.0

    def __init__(self, *pieces: bytes | BaseException) -> None:
        self.tally = Tally()
        self.closed = 0
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        self.tally.text.append(piece.decode())
        return piece

    def close(self) -> None:
        self.closed += 1


class Far:
    """What stands behind the stage: each deployment answers, or fails, once a test says how."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.requests: list[InferenceRequest] = []
        self.cancelled: list[str] = []
        self._ends: dict[str, asyncio.Future[Pieces]] = {}
        self._arrived = asyncio.Event()

    def end_of(self, name: str) -> asyncio.Future[Pieces]:
        return self._ends.setdefault(name, asyncio.get_running_loop().create_future())

    def answers(self, name: str, *pieces: bytes | BaseException) -> Pieces:
        answer = Pieces(*(pieces or (b"hello",)))
        self.end_of(name).set_result(answer)
        return answer

    def fails(self, name: str, error: BaseException) -> None:
        self.end_of(name).set_exception(error)

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.asked) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def __call__(self, call: Call) -> Reply:
        attempt = call.attempts[-1]
        name = attempt.deployment.name
        self.asked.append(name)
        self.requests.append(attempt.request or call.request)
        self._arrived.set()
        try:
            answer = await asyncio.shield(self.end_of(name))
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        self._ends.pop(name, None)
        attempt.tally, attempt.first_token_s = answer.tally, asyncio.get_running_loop().time()
        return Reply(cast("Any", answer), attempt.deployment)


class Written:
    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, _: Call, attempt: Attempt) -> None:
        self.begun.append(f"{attempt.deployment.name} {attempt.kind}")


class Ring:
    """A stage, its fleet, what is written down, and the far side."""

    def __init__(self, admission: Admission | None = None) -> None:
        clock = asyncio.get_running_loop().time
        self.fleet = Fleet(clock)
        self.written = Written()
        self.far = Far()
        desk = Desk(self.fleet, clock, admission or cast("Any", None), self.written)
        self.stage = AttemptStage(desk, random.Random(1), cast("Any", None))

    def begin(self, call: Call) -> asyncio.Task[Reply]:
        """Run the stage for `call`."""

        async def run() -> Reply:
            return await self.stage(call, self.far)

        return asyncio.create_task(run())

    def in_flight(self) -> dict[str, int]:
        return {state.deployment.name: state.in_flight for state in self.fleet.states()}


def a_call(*candidates: Deployment, hedge: HedgeRules | None = AT_ONCE, **route: Any) -> Call:
    """A streamed call of a route over `candidates`, all of them targets."""
    candidates = candidates or (A, B)
    made = Route(
        "r",
        ("r",),
        Strategy.ORDERED,
        tuple(Target(deployment) for deployment in candidates),
        **{"hedge": hedge, "retry_attempts": 1, "timeouts": Timeouts(total_s=10.0)} | route,
    )
    request = InferenceRequest(Endpoint.CHAT, "r", stream=True, include_usage=False, members={}, body_bytes=50)
    return Call(
        id="req_1",
        request=request,
        read_body=cast("Any", None),
        headers=cast("Any", {}),
        generation=cast("Any", SimpleNamespace(limits=LimitIndex(), drains=False, upstreams={})),
        trace=TraceContext("7" * 32, "5" * 16, None, sampled=False),
        received_s=asyncio.get_running_loop().time(),
        received_at_ns=0,
        route=made,
        candidates=candidates,
    )
