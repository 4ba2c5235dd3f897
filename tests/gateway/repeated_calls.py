"""Calls with an `Idempotency-Key`, for the tests of the stage and of the run it begins."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from adapters.base import Tally
from adapters.schema import InferenceRequest
from gateway.call import Attempt, Reply
from policies.vocabulary import Endpoint, Principal
from tests.gateway.stages.a_call import CHATTY, OPEN, a_call

if TYPE_CHECKING:
    from gateway.call import Call

ANN = Principal("k_ann", "ann", org="acme")


class Streamed:
    """A stream that a test feeds; `None` is its honest end, an exception breaks it."""

    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = (("openai-version", "1"),)
    first_token_s: float | None = None

    def __init__(self) -> None:
        self.tally = Tally()
        self.pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = 0
        self.cancelled = False

    async def read(self) -> bytes:
        try:
            piece = await self.pieces.get()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(piece, Exception):
            raise piece
        return piece or b""

    def close(self) -> None:
        self.closed += 1


class Whole(Streamed):
    def __init__(self, body: bytes = b'{"n": 1}') -> None:
        super().__init__()
        self.body = body


class Upstreams:
    """The stages behind: each call waits for the test to say what becomes of it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.came = asyncio.Event()
        self._outcomes: asyncio.Queue[Streamed | Exception] = asyncio.Queue()

    def say(self, outcome: Streamed | Exception) -> None:
        self._outcomes.put_nowait(outcome)

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        self.came.set()
        call.route = OPEN
        attempt = Attempt(len(call.attempts) + 1, CHATTY, 0.0)
        call.attempts.append(attempt)
        try:
            outcome = await self._outcomes.get()
        except asyncio.CancelledError:
            attempt.cancelled, attempt.ended_s = True, 1.0
            raise
        if isinstance(outcome, Exception):
            attempt.ended_s = 1.0
            raise outcome
        call.answering = attempt
        call.scope.defer(outcome.close)
        return Reply(outcome, CHATTY)


def keyed(
    key: str = "abc",
    *,
    asked: bytes = b'"hi"',
    principal: Principal | None = ANN,
    endpoint: Endpoint = Endpoint.CHAT,
    headers: tuple[tuple[str, str], ...] = (),
) -> Call:
    call = a_call(("Idempotency-Key", key), *headers, endpoint=endpoint)
    call.id = f"req_{id(call)}"
    call.principal = principal
    members = {"model": msgspec.Raw(b'"open"'), "messages": msgspec.Raw(asked)}
    call.request = InferenceRequest(endpoint, "open", stream=False, include_usage=False, members=members, body_bytes=9)
    call.received_s = asyncio.get_running_loop().time()
    generation = cast("Any", call.generation)
    generation.routes = (OPEN,)
    generation.config = SimpleNamespace()
    return call


async def read_all(reply: Reply) -> bytes:
    found = b""
    while piece := await reply.answer.read():
        found += piece
    return found
