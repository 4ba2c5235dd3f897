"""One keep-alive connection: whole requests out, answers in, one exchange at a time, one lazy timer."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, cast

from gateway.transport.errors import StaleConnectionError, TransportError
from gateway.transport.framing import Framing, FramingError
from gateway.transport.response import Response
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from policies.vocabulary import Timeouts

log = logging.getLogger(__name__)

# A connection that was closing while we wrote to it shows so within a round trip; later, it died under the request.
_STALE_WITHIN_S = 1.0
_TIMER_SLACK_S = 0.002
_JOIN_BYTES = 64 * 1024


class Owner(Protocol):
    """What a connection tells the pool it belongs to."""

    def release(self, connection: Connection) -> None:
        """It may serve another exchange."""

    def forget(self, connection: Connection) -> None:
        """It never will; called once."""


class Connection(asyncio.Protocol):
    """Reads answers into the `Response` of its current exchange. Closed for good by anything out of order."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.closed = False
        self.expires_s = 0.0
        self._owner = owner
        self._framing = Framing()
        self._response: Response | None = None
        self._used = False
        self._sent_s = 0.0
        self._write_s = 0.0
        self._write_by_s: float | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = 0.0

    @property
    def idle_s(self) -> float:
        """How long the peer lets us keep this connection unused."""
        return self._framing.idle_s

    # the exchange

    async def exchange(self, head: bytes, body: bytes, timeouts: Timeouts, total_s: float, phase_s: float) -> Response:
        """Send one request and wait for the final answer's head. Raises `TransportError`."""
        if self.closed:
            raise StaleConnectionError(FailureKind.RESET)
        response = self._response = Response(self, total_s)
        response.limit_phase(FailureKind.FIRST_TOKEN, phase_s)
        self._framing.begin(response)
        self._sent_s = self.loop.time()
        self._write_s = timeouts.write_s
        if len(body) < _JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        while not response.status:
            if response.error is not None:
                raise response.error.anew()
            await response.wait()
        return response

    def fail(self, kind: FailureKind, message: str | None = None) -> None:
        """End the current exchange as failed, and this connection with it."""
        if self._response is not None:
            self._response.error = TransportError(kind, message, sent=self._write_by_s is None)
        self.abort()

    def abort(self) -> None:
        """Close at once. Whoever waits for the current exchange is woken."""
        if not self.closed:
            self._end()
            self._transport.abort()

    def close(self) -> None:
        """Close politely; for idle connections."""
        if not self.closed:
            self._end()
            self._transport.close()

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        response, self._response = self._response, None
        if response is not None:
            response.connection = None
            if response.error is None and not response.complete:
                response.error = TransportError(FailureKind.RESET, sent=self._write_by_s is None)
            response.wake()
        self._owner.forget(self)

    # time

    def arm(self, at_s: float) -> None:
        """See to it that limits are looked at no later than `at_s`. A timer that fires too early arms the next one."""
        if self._timer is not None:
            if self._timer_at_s <= at_s:
                return
            self._timer.cancel()
        self._timer_at_s = at_s
        self._timer = self.loop.call_at(at_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        response = self._response
        if response is None:
            return
        now_s = self.loop.time() + _TIMER_SLACK_S
        kind = response.overdue(now_s)
        if kind is None and self._write_by_s is not None and now_s >= self._write_by_s:
            kind = FailureKind.WRITE
        if kind is not None:
            self.fail(kind)
            return
        next_s = response.next_limit_s()
        self.arm(next_s if self._write_by_s is None else min(next_s, self._write_by_s))

    # backpressure

    def pause_writing(self) -> None:
        self._write_by_s = self.loop.time() + self._write_s
        self.arm(self._write_by_s)

    def resume_writing(self) -> None:
        self._write_by_s = None

    def resume(self) -> None:
        """Read on, if the reader's full window had stopped us."""
        if self._paused and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()  # nobody asked
            return
        response.touched = True
        try:
            self._framing.feed(data)
        except FramingError as error:
            log.debug("upstream framing: %s", error, exc_info=True)
            response.complete = self._framing.over
            self.fail(FailureKind.BAD_RESPONSE, str(error)) if not response.complete else self.abort()
            return
        if self._framing.over:
            self._on_answered(response)
        elif response.crowded:
            self._hold(response)
        response.wake()

    def eof_received(self) -> None:
        self.connection_lost(None)
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        response = self._response
        if response is not None and not self.closed:
            if self._framing.until_eof and error is None:
                response.complete = True
            elif self._used and not response.touched and self.loop.time() - self._sent_s < _STALE_WITHIN_S:
                response.error = StaleConnectionError(FailureKind.RESET)
        if not self.closed:
            self._end()

    def _hold(self, response: Response) -> None:
        """Stop reading until the reader has caught up; nobody catches up with what is being discarded."""
        if response.discarding:
            self.abort()
        elif not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _on_answered(self, response: Response) -> None:
        """The answer is whole: give the connection back, unless either side has reason not to."""
        response.complete = True
        if not self._framing.reusable or self._transport.get_write_buffer_size():
            self.abort()
            return
        self._response = None
        self._used = True
        response.connection = None
        self.resume()
        self._owner.release(self)
