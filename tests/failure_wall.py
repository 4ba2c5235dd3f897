"""A provider that breaks on purpose: it speaks OpenAI's chat API, and the model's name says how it fails.

    async with FailureWall(FAST) as wall:
        policy = {"providers": {"wall": {"kind": "openai", "base_url": wall.url, "api_key": "none"}}, ...}
        ...
        assert [attempt.did for attempt in wall.attempts_at("cut.s08")] == ["cut after 40 tokens"]

`ok` always answers with TEXT; what the other models do is written in `tests.wall_faults.FAULTS`. What follows a dot in
a model's name is the test's own, so that several tests can use one fault without mixing their attempts. It is raw
sockets throughout: no framework resets a connection before the head, or ends a chunked body without its end.

An assistant message at the end of the conversation that TEXT begins with is continued. Usage comes when asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any, Self

from tests.wall_faults import FAULTS, TEXT, Attempt, HangUp, Turn, tokens_of

if TYPE_CHECKING:
    from tests.wall_faults import Timing


class FailureWall:
    """Listens on a free loopback port from `async with` on, and keeps a log of every attempt."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.attempts: list[Attempt] = []
        self.port = 0
        self._started_s = time.monotonic()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._started_s

    def attempts_at(self, model: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.model == model]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Request after request, until either side has had enough."""
        try:
            while True:
                await self._play(self._turn(await _request(reader), reader, writer))
        except (HangUp, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _turn(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Turn:
        model, messages = str(body["model"]), body.get("messages") or [{}]
        last = messages[-1]
        continues = str(last.get("content") or "") if last.get("role") == "assistant" else ""
        words = sum(len(str(message.get("content") or "").split()) + 4 for message in messages)
        number = len(self.attempts_at(model)) + 1
        attempt = Attempt(self.now_s, model, number, bool(body.get("stream")), continues, words)
        self.attempts.append(attempt)
        turn = Turn(self, attempt, body, reader, writer)
        if continues and TEXT.startswith(continues):
            attempt.did = f"continued after {len(continues.split())} words"
            turn.tokens = tokens_of(TEXT[len(continues) :])
        return turn

    async def _play(self, turn: Turn) -> None:
        fault = FAULTS.get(turn.attempt.model.partition(".")[0])
        if fault is None:
            await turn.refuse(404, "model_not_found", "There is no such model.")
        else:
            await fault.happens(turn)


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The JSON of one POST. Whoever sends anything else, or nothing, has its connection closed."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = re.search(r"\r\ncontent-length: *(\d+)", head)
    if length is None:
        raise HangUp
    body = json.loads(await reader.readexactly(int(length[1])))
    assert isinstance(body, dict)
    return body
