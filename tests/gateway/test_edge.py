"""The edge behind a real listener, with a handler of the test's own in place of the stages."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from adapters.base import Tally
from gateway.call import Attempt, Reply
from gateway.drains import Drains
from gateway.edge import Edge
from gateway.errors import LimitError, UpstreamError
from gateway.generation import InUse
from gateway.lifecycle import Lifecycle
from gateway.limits.admitted import Admitted
from gateway.server import Server
from policies.vocabulary import Deployment, Failure, FailureKind, Route, Strategy, Target, Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.call import Call

A = Deployment("a", "p", "openai", "m")
ROUTE = Route("r", ("r",), Strategy.ORDERED, (Target(A),), timeouts=Timeouts(write_s=0.1))
HEAD = b"HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
POST = b"POST /v1/chat/completions " + HEAD + b"Content-Length: 2\r\n\r\n{}"
EVENT = b'data: {"choices": []}\n\n'


class FakeAnswer:
    """`pieces` are read one after another; an exception among them is raised."""

    first_token_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, *pieces: bytes | BaseException, body: bytes | None = None) -> None:
        self.body = body
        self.tally = Tally()
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None: ...


class Front:
    """A listening edge; `answer` is what the stages do with the next call."""

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.calls: list[Call] = []
        self.answer: Callable[[], Awaitable[FakeAnswer]] = self.hello
        self.in_use = InUse()
        server, telemetry = SimpleNamespace(max_body_bytes=1000), SimpleNamespace(cost_header=True)
        config = SimpleNamespace(server=server, telemetry=telemetry)
        generation = cast("Any", SimpleNamespace(config=config, in_use=self.in_use))
        self.server = Server(
            Edge(lambda: generation, self.handle, self.lifecycle, Drains()), asyncio.get_running_loop()
        )
        self.port = 0

    async def hello(self) -> FakeAnswer:
        return FakeAnswer(body=b'{"hello": 1}')

    async def handle(self, call: Call) -> Reply:
        self.calls.append(call)
        call.route = ROUTE
        self.lifecycle.enter_route(ROUTE.name)
        call.attempts.append(Attempt(1, A, 0.0))
        return Reply(cast("Any", await self.answer()), A)

    async def ask(self, data: bytes = POST) -> bytes:
        """What comes until the connection closes, or nothing more comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    listening = await asyncio.get_running_loop().create_server(front.server, "127.0.0.1", 0)
    front.port = listening.sockets[0].getsockname()[1]
    yield front
    listening.close()
    await front.server.shutdown(0.1)


def closing_post() -> bytes:
    return POST.replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n")


def error_of(answer: bytes) -> dict[str, Any]:
    """The error object at the end of an answer, whole or streamed."""
    start = answer.index(b'{"error"')
    return cast("dict[str, Any]", msgspec.json.decode(answer[start : answer.index(b"}}", start) + 2])["error"])


def streaming(*pieces: bytes | BaseException) -> Callable[[], Awaitable[FakeAnswer]]:
    async def answer() -> FakeAnswer:
        return FakeAnswer(*pieces)

    return answer


async def test_a_whole_answer_names_its_call(front: Front) -> None:
    answer = await front.ask(closing_post())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-request-id: %b\r\n" % front.calls[0].id.encode() in answer
    assert answer.endswith(b'{"hello": 1}')
    assert (front.lifecycle.in_flight, front.in_use.calls) == (0, 0)


@pytest.mark.parametrize(
    ("error", "code", "cancelled"),
    [
        (UpstreamError(Failure(FailureKind.TRUNCATED, "cut"), "a"), "upstream_incomplete", False),
        (RuntimeError("a bug"), "internal_error", True),
    ],
)
async def test_what_breaks_a_stream_is_told_in_it(
    front: Front,
    error: Exception,
    code: str,
    cancelled: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The head is out, so a second one would be garbage in the body."""
    front.answer = streaming(EVENT, error)
    answer = await front.ask(closing_post())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert (error_of(answer)["code"], error_of(answer)["request_id"]) == (code, front.calls[0].id)
    assert b"[DONE]" not in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")
    assert b"a bug" not in answer
    call = front.calls[0]
    assert (call.status, call.error_code, call.attempts[0].cancelled) == (200, code, cancelled)


async def test_a_bug_before_the_answer_says_nothing_of_the_inside(front: Front) -> None:
    async def fail() -> FakeAnswer:
        raise RuntimeError("secrets")

    front.answer = fail
    answer = await front.ask(closing_post())
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert error_of(answer)["code"] == "internal_error"
    assert b"secrets" not in answer


async def test_an_answer_during_a_drain_ends_its_connection(front: Front) -> None:
    """A caller who were to reuse it would meet a closed door."""

    async def drain() -> FakeAnswer:
        front.lifecycle.draining = True
        return await front.hello()

    front.answer = drain
    answer = await front.ask()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer


async def test_a_new_call_during_a_drain_is_sent_elsewhere(front: Front) -> None:
    front.lifecycle.draining = True
    answer = await front.ask()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert error_of(answer)["code"] == "shutting_down"
    assert front.calls == []


async def interrupted(front: Front, wait: asyncio.Event) -> bytes:
    """What a caller gets when the time to drain is over once `wait` is set."""
    asking = asyncio.ensure_future(front.ask(closing_post()))
    await wait.wait()
    front.lifecycle.draining = front.lifecycle.deadline_passed = True
    front.server.interrupt()
    return await asking


async def test_a_call_that_outlasts_the_drain_is_told_so(front: Front) -> None:
    asked = asyncio.Event()

    async def never() -> FakeAnswer:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            front.calls[0].attempts[0].cancelled = True  # as the attempt's stage does
        raise AssertionError

    front.answer = never
    answer = await interrupted(front, asked)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert error_of(answer)["code"] == "shutting_down"
    assert (front.calls[0].status, front.calls[0].cancelled) == (503, False)
    assert front.calls[0].attempts[0].stopped == "shutting_down"
    assert front.lifecycle.in_flight == 0


async def test_a_stream_that_outlasts_the_drain_is_told_so(front: Front) -> None:
    begun = asyncio.Event()

    class Endless(FakeAnswer):
        async def read(self) -> bytes:
            if begun.is_set():
                await asyncio.get_running_loop().create_future()
            begun.set()
            return EVENT

    async def endless() -> FakeAnswer:
        return Endless()

    front.answer = endless
    answer = await interrupted(front, begun)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert error_of(answer)["code"] == "shutting_down"
    assert b"[DONE]" not in answer
    call = front.calls[0]
    assert (call.status, call.error_code, call.attempts[0].cancelled) == (200, "shutting_down", True)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_a_caller_that_does_not_read_is_cut_off_as_its_route_says(front: Front, whole: bool) -> None:  # noqa: FBT001 - a parameter
    big = b"x" * (16 << 20)

    async def answer() -> FakeAnswer:
        return FakeAnswer(body=big) if whole else FakeAnswer(big)

    front.answer = answer
    with closing(socket.socket()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", front.port))
        await asyncio.get_running_loop().sock_sendall(deaf, POST)
        async with asyncio.timeout(3):
            while not front.server.connections:  # noqa: ASYNC110 - aiohttp has no event for it
                await asyncio.sleep(0.01)
            while front.server.connections:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("wait_s", "code", "retry_after"),
    [(11.2, "rate_limit_exceeded", b"12"), (0.001, "service_full", b"1"), (None, "insufficient_quota", None)],
)
async def test_a_limits_refusal_tells_the_exact_wait_and_whether_to_come_back(
    front: Front, wait_s: float | None, code: str, retry_after: bytes | None
) -> None:
    refusal = LimitError("no", status=429, type_="tokens", code=code, retry_after_s=wait_s)

    async def refuse() -> FakeAnswer:
        raise refusal

    front.answer = refuse
    answer = await front.ask(closing_post())
    head = answer.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert (b"retry-after: %b\r\n" % retry_after in head) if retry_after else (b"retry-after" not in head)
    assert (b"x-should-retry: false\r\n" in head) is (code == "insufficient_quota")
    assert (error_of(answer)["type"], error_of(answer)["code"]) == ("tokens", code)


def loses_its_place(front: Front) -> None:
    """As when a lease runs out under the newest call."""
    call = front.calls[-1]
    call.admitted = Admitted(cast("Any", None))
    call.admitted.is_lost = True
    assert call.admitted.task is not None
    call.admitted.task.cancel()


async def test_a_call_that_lost_its_place_is_told_so(front: Front) -> None:
    async def lose() -> FakeAnswer:
        loses_its_place(front)
        await asyncio.sleep(5)
        return FakeAnswer(body=b"{}")

    front.answer = lose
    answer = await front.ask(closing_post())
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert error_of(answer)["code"] == "reservation_lost"
    assert not front.calls[0].cancelled


async def test_a_stream_that_lost_its_place_ends_with_an_error(front: Front) -> None:
    class Losing(FakeAnswer):
        async def read(self) -> bytes:
            if not self._pieces:
                loses_its_place(front)
                await asyncio.sleep(5)
            return await super().read()

    async def answer() -> FakeAnswer:
        return Losing(EVENT)

    front.answer = answer
    told = await front.ask(closing_post())
    assert EVENT in told
    assert error_of(told)["code"] == "reservation_lost"
    assert b"[DONE]" not in told
    assert (front.calls[0].attempts[0].stopped, front.calls[0].error_code) == ("reservation_lost", "reservation_lost")
