"""Answers from the bundled engine: gathered whole, or a stream whose first content has come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from adapters.base import EngineTimes, Tally
from adapters.llama_cpp_answer import Shape, StreamEncoder, WholeEncoder
from adapters.llama_cpp_job import Delta, Finished
from gateway.errors import UpstreamError
from gateway.local.serving.endings import error_of
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.local.serving.ticket import Ticket
    from gateway.upstream import Exchange
    from policies.usage import Usage

Headers = tuple[tuple[str, str], ...]

_HEADER_CHARS = 200
_TIMEOUT_WORDS = {
    FailureKind.FIRST_TOKEN: "The bundled engine gave no first token in time.",
    FailureKind.IDLE: "The bundled engine fell silent.",
    FailureKind.TOTAL: "The call's time ran out.",
}


class LocalAnswer:
    """One job's answer. It is opened by `gather` or `open`, and closing it stops the engine's work on it."""

    def __init__(self, ticket: Ticket, shape: Shape, exchange: Exchange, deployment: str) -> None:
        self.body: bytes | None = None
        self.tally = Tally(model=shape.model, id=shape.id)
        self.headers: Headers = ()
        self.first_token_s: float | None = None
        self._ticket = ticket
        self._shape = shape
        self._deployment = deployment
        self._deadline_s = exchange.deadline_s
        self._idle_s = exchange.timeouts.idle_s
        self._stream = StreamEncoder(shape)
        self._encoder: WholeEncoder | StreamEncoder = self._stream
        self._held = b""
        self._ended = False
        self._shifted_tokens = 0

    async def gather(self) -> None:
        """Wait for the whole answer. Raises `UpstreamError` and `RequestError`."""
        encoder = self._encoder = WholeEncoder(self._shape)
        while not self._ticket.is_drained:
            events = await self._events(self._deadline_s, FailureKind.TOTAL)
            encoder.inside = self._ticket.opening
            for event in events:
                if isinstance(event, Delta):
                    encoder.delta(event)
                else:
                    encoder.finished(event)
        self._check()
        self.body = encoder.body(self._settle())
        self._ended = True
        self._ticket.close()
        self._show_what_was_left_out()

    async def open(self, first_token_by_s: float) -> None:
        """Wait for the first content, or the honest end without any. Raises `UpstreamError` and `RequestError`."""
        self._held = self._stream.opening()
        while not self._ticket.is_drained and self.first_token_s is None:
            kind = FailureKind.FIRST_TOKEN if first_token_by_s < self._deadline_s else FailureKind.TOTAL
            events = await self._events(min(first_token_by_s, self._deadline_s), kind)
            if any(isinstance(event, Delta) for event in events):
                self.first_token_s = asyncio.get_running_loop().time()
            self._held += self._encode(events)
        if self.first_token_s is None:
            self._check()
        self._show_what_was_left_out()

    async def read(self) -> bytes:
        """The next whole events; empty bytes at the honest end. Raises `UpstreamError` when the engine fails."""
        while not self._held and not self._ended:
            if self._ticket.is_drained:
                self._check()
                self._held = self._stream.ending(self._settle())
                self._ticket.close()
                self._ended = True
                break
            idle_by_s = asyncio.get_running_loop().time() + self._idle_s
            kind = FailureKind.IDLE if idle_by_s < self._deadline_s else FailureKind.TOTAL
            self._held = self._encode(await self._events(min(idle_by_s, self._deadline_s), kind))
        held, self._held = self._held, b""
        return held

    def close(self) -> None:
        self._settle()
        self._ticket.close()

    async def _events(self, until_s: float, kind: FailureKind) -> list[Delta | Finished]:
        try:
            events = await self._ticket.wait(until_s)
        except TimeoutError:
            self.close()
            raise self._error(Failure(kind, _TIMEOUT_WORDS[kind], maybe_billed=self._ticket.started)) from None
        except asyncio.CancelledError:
            self.close()
            raise
        for event in events:
            if isinstance(event, Finished):
                self._note(event)
        return events

    def _note(self, end: Finished) -> None:
        """Where the time went: choices are read and written side by side, and each has its own part of the engine's."""
        self._shifted_tokens += end.shifted_tokens
        times = self.tally.engine or EngineTimes(queue_s=self._ticket.queue_s)
        self.tally.engine = EngineTimes(
            times.queue_s,
            max(times.read_s, end.read_s),
            max(times.write_s, end.write_s),
            self._ticket.compute_s,
        )

    def _encode(self, events: Sequence[Delta | Finished]) -> bytes:
        pieces = []
        self._stream.inside = self._ticket.opening
        for event in events:
            if isinstance(event, Delta):
                pieces.append(self._stream.delta(event))
            else:
                pieces.append(self._stream.finished(event))
        return b"".join(pieces)

    def _settle(self) -> Usage:
        """What has been used so far, and why which choice is over."""
        thoughts = self._encoder.reasoning_tokens
        usage = self.tally.usage = self._ticket.usage()._replace(reasoning_tokens=thoughts)
        self.tally.finish_reasons = self._encoder.reasons
        if self._ticket.had_s and not self._ticket.is_complete:  # its caller leaves, and knows of no end
            times = self.tally.engine or EngineTimes(queue_s=self._ticket.queue_s)
            self.tally.engine = msgspec.structs.replace(times, compute_s=self._ticket.compute_s)
        return usage

    def _show_what_was_left_out(self) -> None:
        if ignored := self._ticket.ignored:
            self.headers += (("x-pointsman-ignored", ", ".join(ignored)[:_HEADER_CHARS]),)
        if truncated := self._ticket.truncated_tokens:
            self.headers += (("x-pointsman-truncated-tokens", str(truncated)),)
        if self._shifted_tokens:
            self.headers += (("x-pointsman-shifted-tokens", str(self._shifted_tokens)),)

    def _check(self) -> None:
        """Raise what ended the job, unless that was its completion."""
        ticket = self._ticket
        if ticket.is_complete:
            return
        self.close()
        raise error_of(ticket, self._deployment)

    def _error(self, failure: Failure) -> UpstreamError:
        return UpstreamError(failure, self._deployment)
