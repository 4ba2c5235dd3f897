"""A call before its attempts, a far side whose outcomes are written out beforehand, and a stage between them."""

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
from policies.vocabulary import Deployment, Endpoint, Route, Strategy, Target, Timeouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.limits.admission import Admission
    from gateway.pipeline import Handler
    from gateway.upstream import Answer

A = Deployment("a", "p", "openai", "m")
B = Deployment("b", "p", "openai", "m")


class Whole:
    body: bytes | None = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    first_token_s: float | None = None

    def __init__(self) -> None:
        self.tally = Tally()
        self.closed = 0

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed += 1


def a_call(*, attempts: int = 1, total_s: float = 10.0) -> Call:
    route = Route("r", ("r",), Strategy.ORDERED, (Target(A),), (B,), attempts, Timeouts(total_s=total_s))
    return Call(
        id="req_1",
        request=InferenceRequest.unread(Endpoint.CHAT),
        read_body=cast("Any", None),
        headers=cast("Any", {}),
        generation=cast("Any", SimpleNamespace(limits=LimitIndex(), drains=False)),
        trace=TraceContext("7" * 32, "5" * 16, None, sampled=False),
        received_s=asyncio.get_running_loop().time(),
        received_at_ns=0,
        route=route,
        candidates=(A, B),
    )


class Written:
    """Where attempts are written down; notes them as `DEPLOYMENT NUMBER`."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, _: Call, attempt: Attempt) -> None:
        self.begun.append(f"{attempt.deployment.name} {attempt.number}")


def a_stage(admission: Admission | None = None, written: Written | None = None) -> tuple[AttemptStage, Fleet]:
    clock = asyncio.get_running_loop().time
    fleet = Fleet(clock)
    desk = Desk(fleet, clock, admission or cast("Any", None), written or Written())
    return AttemptStage(desk, random.Random(1), cast("Any", None)), fleet


def upstream(outcomes: Sequence[Answer | BaseException]) -> Handler:
    """A handler that gives one outcome per attempt: an error to raise or an answer to return."""
    left = list(outcomes)

    async def then(call: Call) -> Reply:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return Reply(outcome, call.attempts[-1].deployment)

    return then
