from __future__ import annotations

import asyncio
import json
import struct

import pytest

from adapters.llama_cpp_job import Failed, Scores, Started, Vectors
from adapters.llama_cpp_vectors import Wish
from adapters.schema import InferenceRequest
from gateway.errors import RequestError, UpstreamError
from gateway.local.serving.ticket import Ticket
from gateway.local.serving.vector_answer import VectorAnswer
from gateway.upstream import Exchange
from policies.usage import Usage
from policies.vocabulary import Endpoint, FailureKind, Timeouts

EMBED = Wish(Endpoint.EMBEDDINGS, "mini")


class Stage:
    """An answer, its ticket, and how often the ticket was given back."""

    def __init__(self, wish: Wish = EMBED, *, within_s: float = 5.0) -> None:
        self.closed = 0
        self.ticket = Ticket(1, self._close)
        request = InferenceRequest.unread(wish.endpoint)
        deadline_s = asyncio.get_running_loop().time() + within_s
        self.answer = VectorAnswer(self.ticket, wish, Exchange(request, Timeouts(), deadline_s, "req_1"), "local")

    def _close(self, _: object) -> None:
        self.closed += 1


async def test_vectors_become_an_answer() -> None:
    stage = Stage()
    stage.ticket.take(Started(1, 9, 0, queue_s=0.5))
    stage.ticket.take(Vectors(1, (struct.pack("<2f", 0.5, -1.0),), 9, 0.25))
    await stage.answer.gather()
    body = json.loads(stage.answer.body or b"")
    assert body["data"][0]["embedding"] == [0.5, -1.0]
    assert stage.answer.tally.usage == Usage(9)
    engine = stage.answer.tally.engine
    assert engine is not None
    assert (engine.queue_s, engine.compute_s) == (0.5, 0.25)
    assert stage.closed == 1
    assert await stage.answer.read() == b""


async def test_whoever_waits_is_woken() -> None:
    stage = Stage(Wish(Endpoint.RERANK, "mini"))
    gathering = asyncio.create_task(stage.answer.gather())
    await asyncio.sleep(0)
    assert not gathering.done()
    stage.ticket.take(Scores(1, (0.5, 0.75), 9))
    await gathering
    assert [result["index"] for result in json.loads(stage.answer.body or b"")["results"]] == [1, 0]


async def test_what_has_no_effect_is_named() -> None:
    stage = Stage()
    stage.ticket.ignored = ("truncate",)
    stage.ticket.take(Vectors(1, (bytes(4),), 1))
    await stage.answer.gather()
    assert stage.answer.headers == (("x-pointsman-ignored", "truncate"),)


async def test_a_refusal_reaches_the_caller() -> None:
    stage = Stage()
    stage.ticket.take(Failed(1, 400, "invalid_value", "No.", "dimensions"))
    with pytest.raises(RequestError, match="No"):
        await stage.answer.gather()
    assert stage.closed == 1


async def test_a_crash_is_an_upstream_error() -> None:
    stage = Stage()
    stage.ticket.take(Started(1, 9, 0))
    stage.ticket.lose()
    with pytest.raises(UpstreamError) as raised:
        await stage.answer.gather()
    assert raised.value.failure.kind is FailureKind.CRASHED
    assert stage.answer.tally.usage == Usage(9, estimated=True)


async def test_time_runs_out() -> None:
    stage = Stage(within_s=0.05)
    with pytest.raises(UpstreamError) as raised:
        await stage.answer.gather()
    assert raised.value.failure.kind is FailureKind.TOTAL
    assert stage.closed == 1


async def test_a_caller_that_leaves_stops_the_work() -> None:
    stage = Stage()
    gathering = asyncio.create_task(stage.answer.gather())
    await asyncio.sleep(0)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert stage.closed == 1


async def test_others_get_a_turn_while_a_long_answer_is_written() -> None:
    stage, turns = Stage(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    stage.ticket.take(Vectors(1, (bytes(4 * 1024),) * 500, 9))
    running = asyncio.create_task(other())
    await stage.answer.gather()
    running.cancel()
    assert turns > 20
