from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from adapters.llama_cpp_answer import Shape
from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Job, Started
from adapters.schema import InferenceRequest
from gateway.errors import RequestError, UpstreamError
from gateway.local.serving.answer import LocalAnswer
from gateway.local.serving.ticket import Ticket
from gateway.upstream import Exchange
from policies.usage import Usage
from policies.vocabulary import Endpoint, FailureKind, Timeouts

STARTED = Started(1, 10, 4, ("tools",))
HELLO = Delta(1, 0, "hello", 2)
END = Finished(1, 0, "stop", 2)


class Scene:
    """An answer with a ticket that the test feeds."""

    def __init__(self, *events: Event, stream: bool = True, total_s: float = 5.0, idle_s: float = 5.0) -> None:
        self.closed = 0
        self.ticket = Ticket(1, self._count)
        for event in events:
            self.ticket.take(event)
        request = InferenceRequest(Endpoint.CHAT, "m", stream, include_usage=False, members={}, body_bytes=0)
        self.now = asyncio.get_running_loop().time
        exchange = Exchange(request, Timeouts(idle_s=idle_s), self.now() + total_s, "r")
        shape = Shape.of(request, Job(1), "smol", 1)
        self.answer = LocalAnswer(self.ticket, shape, exchange, "dep")

    def _count(self, _: Ticket) -> None:
        self.closed += 1

    async def open(self, first_token_s: float = 5.0) -> None:
        await self.answer.open(self.now() + first_token_s)

    async def rest(self) -> bytes:
        pieces = []
        while piece := await self.answer.read():
            pieces.append(piece)
        return b"".join(pieces)


def chunks(data: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in data.split(b"\n\n") if line and line != b"data: [DONE]"]


async def test_a_whole_answer_is_gathered_and_gives_its_place_back() -> None:
    scene = Scene(STARTED, HELLO, END, stream=False)
    await scene.answer.gather()
    assert json.loads(scene.answer.body or b"")["choices"][0]["message"]["content"] == "hello"
    assert scene.answer.tally.usage == Usage(10, 2, cached_input_tokens=4)
    assert scene.answer.tally.finish_reasons == ["stop"]
    assert scene.answer.headers == (("x-pointsman-ignored", "tools"),)
    assert scene.closed == 1
    assert await scene.answer.read() == b""


async def test_what_a_full_context_dropped_is_told() -> None:
    scene = Scene(Started(1, 10, 4), HELLO, Finished(1, 0, "stop", 2, shifted_tokens=48), stream=False)
    await scene.answer.gather()
    assert scene.answer.headers == (("x-pointsman-shifted-tokens", "48"),)


async def test_a_stream_opens_with_its_first_content_and_ends_honestly() -> None:
    scene = Scene(STARTED, HELLO)
    await scene.open()
    assert scene.answer.first_token_s is not None
    first = await scene.answer.read()
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks(first)] == ["", "hello"]
    scene.ticket.take(END)
    rest = await scene.rest()
    assert chunks(rest)[-1]["choices"][0]["finish_reason"] == "stop"
    assert rest.endswith(b"data: [DONE]\n\n")
    assert scene.answer.tally.usage == Usage(10, 2, cached_input_tokens=4)
    assert scene.closed == 1


async def test_a_stream_may_end_without_content() -> None:
    scene = Scene(STARTED, Finished(1, 0, "stop", 0))
    await scene.open()
    assert scene.answer.first_token_s is None
    assert (await scene.rest()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_crash_is_an_error_with_an_estimate_and_never_a_good_end(stream: bool) -> None:  # noqa: FBT001
    scene = Scene(STARTED, HELLO, stream=stream)
    if stream:
        await scene.open()
        await scene.answer.read()
    scene.ticket.lose()
    with pytest.raises(UpstreamError) as crash:
        await (scene.answer.read() if stream else scene.answer.gather())
    assert crash.value.failure.kind is FailureKind.CRASHED
    assert crash.value.failure.maybe_billed
    assert scene.answer.tally.usage == Usage(10, 2, cached_input_tokens=4, estimated=True)
    assert scene.closed == 1
    if stream:
        with pytest.raises(UpstreamError):
            await scene.answer.read()


async def test_a_crash_before_the_start_cost_nothing() -> None:
    scene = Scene()
    scene.ticket.lose()
    with pytest.raises(UpstreamError) as crash:
        await scene.open()
    assert not crash.value.failure.maybe_billed


async def test_a_refused_job_blames_the_request_by_name() -> None:
    scene = Scene(Failed(1, 400, "template_error", "no", "messages"))
    with pytest.raises(RequestError) as refusal:
        await scene.open()
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (400, "template_error", "messages")


@pytest.mark.parametrize(
    ("failed", "maybe_billed"),
    [
        (Failed(1, 400, "context_length_exceeded", "too long", "messages"), False),
        (Failed(1, 500, "engine_failure", "x"), True),
    ],
)
async def test_what_another_deployment_might_do_is_an_upstreams_failure(failed: Failed, maybe_billed: bool) -> None:  # noqa: FBT001
    scene = Scene(failed, stream=False)
    with pytest.raises(UpstreamError) as refusal:
        await scene.answer.gather()
    failure = refusal.value.failure
    assert (failure.kind, failure.status, failure.code) == (FailureKind.STATUS, failed.status, failed.code)
    assert (failure.maybe_billed, failure.param) == (maybe_billed, failed.param)


@pytest.mark.parametrize(
    ("first_token_s", "total_s", "kind"), [(0.01, 5, FailureKind.FIRST_TOKEN), (5, 0.01, FailureKind.TOTAL)]
)
async def test_opening_has_two_time_limits(first_token_s: float, total_s: float, kind: FailureKind) -> None:
    scene = Scene(STARTED, total_s=total_s)
    with pytest.raises(UpstreamError) as late:
        await scene.open(first_token_s)
    assert late.value.failure.kind is kind
    assert late.value.failure.maybe_billed
    assert scene.closed == 1


@pytest.mark.parametrize(("idle_s", "total_s", "kind"), [(0.01, 5, FailureKind.IDLE), (5, 0.05, FailureKind.TOTAL)])
async def test_reading_has_two_time_limits(idle_s: float, total_s: float, kind: FailureKind) -> None:
    scene = Scene(STARTED, HELLO, idle_s=idle_s, total_s=total_s)
    await scene.open()
    await scene.answer.read()
    with pytest.raises(UpstreamError) as late:
        await scene.answer.read()
    assert late.value.failure.kind is kind


async def test_closing_early_settles_an_estimate_and_stops_the_engine() -> None:
    scene = Scene(STARTED, HELLO)
    await scene.open()
    scene.answer.close()
    scene.answer.close()
    assert scene.closed == 1
    assert scene.answer.tally.usage == Usage(10, 2, cached_input_tokens=4, estimated=True)


async def test_a_slow_reader_gets_what_piled_up_at_once() -> None:
    scene = Scene(STARTED, HELLO)
    await scene.open()
    await scene.answer.read()
    for number in range(3):
        scene.ticket.take(Delta(1, 0, str(number), 1))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks(await scene.answer.read())] == ["0", "1", "2"]


async def test_a_cancelled_reader_gives_its_place_back() -> None:
    scene = Scene(STARTED, HELLO)
    await scene.open()
    await scene.answer.read()
    reading = asyncio.create_task(scene.answer.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert scene.closed == 1


async def test_whoever_leaves_has_had_what_the_engine_told_of_its_time() -> None:
    scene = Scene(Started(1, 10, 4, queue_s=0.5), Delta(1, 0, "hel", 1, compute_s=0.25))
    await scene.open()
    scene.ticket.take(Delta(1, 0, "lo", 1, compute_s=0.75))
    scene.answer.close()
    engine = scene.answer.tally.engine
    assert engine is not None
    assert (engine.queue_s, engine.compute_s) == (0.5, 0.75)


async def test_all_choices_have_had_their_parts() -> None:
    scene = Scene(STARTED, HELLO, Finished(1, 0, "stop", 2, 0.1, 0.2, 1.5))
    await scene.open()
    await scene.rest()
    assert scene.answer.tally.engine is not None
    assert scene.answer.tally.engine.compute_s == 1.5
