"""Two ways into an engine: over HTTP as any caller comes, or straight to our worker's socket."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from adapters.llama_cpp_job import Delta, Failed, Finished, Job, Sampling, Started
from benchmarks.engine.sse import Trace, read_answer
from gateway.local.frames import Cancel, Ready, Refused, Standing, Submit
from gateway.local.serving.process import WORKER_COMMAND, WorkerProcess

if TYPE_CHECKING:
    from benchmarks.engine.prompts import Prompt
    from benchmarks.engine.sse import Piece
    from gateway.local.frames import Load, Report

ENDED = b"data: [DONE]"
TEXT = b'"content":'


class Heard:
    """Set once a stream has brought `texts` pieces of text; for those who wait for it to be under way."""

    def __init__(self, texts: int) -> None:
        self.left = texts
        self.event = asyncio.Event()

    def count(self, texts: int) -> None:
        self.left -= texts
        if self.left <= 0:
            self.event.set()

    def stop(self, _task: asyncio.Task[Trace]) -> None:
        """Nobody has to wait any longer: the stream has ended."""
        self.event.set()


class Door(Protocol):
    async def stream(self, prompt: Prompt, tokens: int, heard: Heard | None = None) -> Trace:
        """One answer, recorded. Cancelling this leaves as a caller leaves: by hanging up."""


class _Connection(asyncio.Protocol):
    """Sends one request; keeps what comes back and when."""

    def __init__(self, request: bytes, heard: Heard | None) -> None:
        self.request = request
        self.heard = heard
        self.pieces: list[Piece] = []
        self.sent_s = 0.0
        self.tail = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sent_s = time.perf_counter()
        cast("asyncio.WriteTransport", transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.perf_counter(), data))
        if self.heard:
            self.heard.count(data.count(TEXT))
        self.tail = (self.tail + data)[-64:]
        if ENDED in self.tail:
            self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class HttpDoor:
    """Any server that speaks OpenAI's chat completions; a connection for each call."""

    def __init__(self, base_url: str, model: str, key: str = "") -> None:
        self._parts = urlsplit(f"{base_url.rstrip('/')}/chat/completions")
        self._model = model
        self._key = key

    def _request(self, prompt: Prompt, tokens: int) -> bytes:
        body = json.dumps({
            "model": self._model, "messages": prompt.messages(), "max_tokens": tokens, "temperature": 0,
            "stream": True, "stream_options": {"include_usage": True},
        }).encode()  # fmt: skip
        head = f"POST {self._parts.path} HTTP/1.1\r\nHost: {self._parts.netloc}\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {self._key}\r\n" if self._key else ""
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def stream(self, prompt: Prompt, tokens: int, heard: Heard | None = None) -> Trace:
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._request(prompt, tokens), heard),
            str(self._parts.hostname),
            int(self._parts.port or 80),
        )
        try:
            await connection.done
        finally:
            transport.abort()
        return read_answer(connection.sent_s, connection.pieces)


class _Call:
    def __init__(self, heard: Heard | None) -> None:
        self.trace = Trace(time.perf_counter())
        self.heard = heard
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class WorkerDoor:
    """Our worker without a gateway in front. `standings` is what it said of itself."""

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        self.standings: list[Standing] = []
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._calls: dict[int, _Call] = {}
        self._number = 0
        self._starter = ThreadPoolExecutor(2)

    async def open(self, load: Load) -> int:
        """The worker's process id, once it is ready."""
        self.worker = await WorkerProcess.spawn(WORKER_COMMAND, self._take, self._starter)
        self.worker.send(load)
        gone = asyncio.create_task(self._tell_of_death(self.worker))
        await self._ready
        gone.cancel()
        return self.worker.pid

    async def _tell_of_death(self, worker: WorkerProcess) -> None:
        await worker.gone.wait()
        self._ready.set_exception(RuntimeError(await worker.reap()))

    async def close(self) -> None:
        if self.worker:
            await self.worker.reap()
        self._starter.shutdown()

    async def stream(self, prompt: Prompt, tokens: int, heard: Heard | None = None) -> Trace:
        assert self.worker is not None
        self._number += 1
        number, call = self._number, _Call(heard)
        self._calls[number] = call
        messages: list[dict[str, object]] = [dict(message) for message in prompt.messages()]
        job = Job(id=number, messages=messages, sampling=Sampling(temperature=0), max_tokens=tokens)
        self.worker.send(Submit(job))
        try:
            await call.done
        except asyncio.CancelledError:
            self.worker.send(Cancel(number))
            raise
        finally:
            del self._calls[number]
        return call.trace

    def _take(self, reports: list[Report]) -> None:
        now_s = time.perf_counter()
        for report in reports:
            match report:
                case Ready():
                    self._ready.set_result(report)
                case Refused():
                    self._ready.set_exception(RuntimeError(report.message))
                case Standing():
                    self.standings.append(report)
                case Started() | Delta() | Finished() | Failed():
                    if call := self._calls.get(report.job):
                        _note(call, report, now_s)
                case _:
                    pass


def _note(call: _Call, report: Started | Delta | Finished | Failed, now_s: float) -> None:
    trace = call.trace
    match report:
        case Started():
            trace.prompt_tokens, trace.cached_tokens = report.prompt_tokens, report.cached_tokens
        case Delta() if report.text:
            trace.texts_s.append(now_s)
            if call.heard:
                call.heard.count(1)
        case Finished():
            trace.tokens = report.completion_tokens
            call.done.set_result(None)
        case Failed():
            trace.error = f"{report.code}: {report.message}"
            call.done.set_result(None)
        case _:
            pass
