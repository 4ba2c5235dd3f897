"""What the litellm driver hands back: a whole answer, or a stream from its first content on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from adapters.base import FailedStream
from gateway.litellm.failure import failure_of
from gateway.litellm.reply import StreamTranslator
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from adapters.base import Tally
    from gateway.litellm.driver import LitellmUpstream
    from gateway.litellm.http import Seen
    from gateway.upstream import Exchange


class Chunk(Protocol):
    """One of litellm's stream chunks, a pydantic model."""

    def model_dump(self, *, exclude_none: bool) -> dict[str, Any]: ...


class Chunks(Protocol):
    """litellm's stream. The two reasons are what the provider said itself, None as long as it said nothing."""

    received_finish_reason: str | None
    intermittent_finish_reason: str | None

    def __aiter__(self) -> Chunks: ...
    async def __anext__(self) -> Chunk: ...
    async def aclose(self) -> None: ...


class LitellmAnswer:
    """An answer that came in one piece."""

    __slots__ = ("body", "first_token_s", "headers", "tally")

    def __init__(self, body: bytes, tally: Tally) -> None:
        self.body: bytes | None = body
        self.tally = tally
        self.headers: tuple[tuple[str, str], ...] = ()
        self.first_token_s: float | None = None

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


class LitellmStream:
    """A stream, from its first content on."""

    __slots__ = (
        "_deadline_s",
        "_held",
        "_idle_s",
        "_over",
        "_reply",
        "_seen",
        "_translator",
        "_upstream",
        "body",
        "first_token_s",
        "headers",
        "tally",
    )

    def __init__(self, upstream: LitellmUpstream, reply: Chunks, seen: Seen, exchange: Exchange) -> None:
        self.body: bytes | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.first_token_s: float | None = None
        self._upstream = upstream
        self._reply: Chunks | None = reply
        self._seen = seen
        self._translator = StreamTranslator(include_usage=exchange.request.include_usage)
        self.tally = self._translator.tally
        self._idle_s = exchange.timeouts.idle_s
        self._deadline_s = exchange.deadline_s
        self._held = b""
        self._over = False

    async def open(self) -> None:
        """Read until the first content, or until the honest end of an answer without any."""
        while not self._translator.started and not self._over:
            self._held += await self._next()
        self.first_token_s = asyncio.get_running_loop().time() if self._translator.started else None

    async def read(self) -> bytes:
        held, self._held = self._held, b""
        while not held and not self._over:
            held = await self._timed()
        return held

    def close(self) -> None:
        """Abandon the stream. The provider's connection is closed at the loop's next turn."""
        reply, self._reply = self._reply, None
        if reply is None:
            return
        # After an honest end the connection is whole and may be used again.
        if not self._over:
            self._upstream.drop(self._seen, reply.aclose())
        self._over = True
        self._held = b""

    async def _timed(self) -> bytes:
        now_s = asyncio.get_running_loop().time()
        limit_s = min(now_s + self._idle_s, self._deadline_s)
        late = FailureKind.IDLE if limit_s < self._deadline_s else FailureKind.TOTAL
        try:
            async with asyncio.timeout_at(limit_s) as timeout:
                return await self._next()
        except Exception as error:
            reason = FailedStream(failure_of(late)) if timeout.expired() else error
            failed = self._upstream.failed(reason, self._seen)
            self.close()
            raise failed from error

    async def _next(self) -> bytes:
        """The next event; empty where a chunk holds nothing for the caller. Raises what litellm raises, or
        `FailedStream`.
        """
        if (reply := self._reply) is None:
            raise FailedStream(failure_of(FailureKind.TRUNCATED))
        try:
            chunk = await anext(reply)
        except StopAsyncIteration:
            self._over = True
            return self._translator.finish()
        # What the provider said, as opposed to what litellm makes up when a stream ends without it.
        finished = reply.received_finish_reason or reply.intermittent_finish_reason
        return self._translator.feed(chunk.model_dump(exclude_none=True), provider_finished=bool(finished))
