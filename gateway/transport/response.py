"""One upstream answer, as the task that asked for it reads it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from gateway.transport.errors import TransportError
from gateway.transport.inflate import InflateError, Inflater
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from gateway.transport.connection import Connection

WINDOW_BYTES = 128 * 1024  # with the read that passes it, a stream whose reader lags holds 384 KiB here at most
BODY_LIMIT_BYTES = 64 * 1024 * 1024
_DRAIN_S = 1.0
_DRAIN_BYTES = 64 * 1024


class Response:
    """Status, headers and body. The connection writes into it; one task reads from it.

    Time limits are points on the loop's clock: `total_s` always counts, `phase_s` only while the reader waits.
    """

    __slots__ = (
        "_headers", "_pieces", "_waiting_bytes", "complete", "connection", "discarding", "error", "fields",
        "inflater", "phase", "phase_s", "status", "total_s", "touched", "waiter",
    )  # fmt: skip

    def __init__(self, connection: Connection, total_s: float) -> None:
        self.connection: Connection | None = connection
        self.total_s = total_s
        self.phase_s = inf
        self.phase = FailureKind.TOTAL
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.inflater: Inflater | None = None
        self.touched = False
        self.complete = False
        self.discarding = False
        self.error: TransportError | None = None
        self.waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; repeated fields joined by a comma."""
        if self._headers is None:
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}
        return self._headers

    def limit_phase(self, phase: FailureKind, at_s: float) -> None:
        """Fail as `phase` when a reader is still waiting at `at_s`."""
        self.phase = phase
        self.phase_s = at_s

    async def read(self) -> bytes:
        """The next piece of the body, decoded; empty at its end. Raises `TransportError`."""
        while True:
            inflater = self.inflater
            if inflater is not None and inflater.pending:
                piece = self._inflate(b"")
            elif self._pieces:
                piece = self._take()
                if inflater is not None:
                    piece = self._inflate(piece)
            elif self.error is not None:
                raise self.error.anew()
            elif self.complete:
                if inflater is not None:
                    self._end_inflating()
                return b""
            else:
                await self.wait()
                continue
            if piece:
                return piece

    async def read_all(self, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
        """The whole body. Raises `TransportError`, also when it is larger than `limit_bytes`."""
        if self.complete and self.inflater is None and self.error is None and self._waiting_bytes <= limit_bytes:
            return self._take() if self._pieces else b""
        if int(self.fields.get(b"content-length", 0)) > limit_bytes:
            raise self._refuse("The upstream's answer is too large.")
        pieces, size_bytes = [], 0
        while piece := await self.read():
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise self._refuse("The upstream's answer is too large.")
            pieces.append(piece)
            if self.inflater is not None:
                await self._let_others_run()
        return b"".join(pieces)

    async def _let_others_run(self) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.close()
            raise

    async def read_start(self, limit_bytes: int, within_s: float) -> bytes:
        """The first bytes of a body that only explains an error: what comes in time, cut at the limit. Then closes."""
        if self.connection is not None:
            self.limit_phase(FailureKind.IDLE, self.connection.loop.time() + within_s)
        pieces, size_bytes = [], 0
        try:
            while size_bytes < limit_bytes and (piece := await self.read()):
                pieces.append(piece)
                size_bytes += len(piece)
        except TransportError:
            pass  # the status has said what matters
        self.close()
        return b"".join(pieces)[:limit_bytes]

    def drain(self) -> None:
        """Nothing more is wanted. The connection is reused if the body ends properly within a second and 64 KiB."""
        self._pieces.clear()
        self._waiting_bytes = 0
        connection = self.connection
        if connection is not None:
            self.discarding = True
            self.total_s = min(self.total_s, connection.loop.time() + _DRAIN_S)
            connection.arm(self.total_s)
            connection.resume()

    def close(self) -> None:
        """Abandon what is left; the connection goes with it. Never awaits, may be called twice."""
        if self.connection is not None:
            self.connection.abort()

    async def wait(self) -> None:
        """Until something changed: head, body, end, or failure. A cancelled wait closes the connection."""
        connection = self.connection
        if connection is None:
            return
        self.waiter = connection.loop.create_future()
        connection.arm(self.next_limit_s())
        try:
            await self.waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self.waiter = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def take_in(self, piece: bytes) -> None:
        """Keep one piece for the reader."""
        self._waiting_bytes += len(piece)
        if not self.discarding:
            self._pieces.append(piece)

    @property
    def crowded(self) -> bool:
        """More is waiting, or was thrown away, than should be."""
        return self._waiting_bytes > (_DRAIN_BYTES if self.discarding else WINDOW_BYTES)

    def next_limit_s(self) -> float:
        return self.total_s if self.waiter is None else min(self.phase_s, self.total_s)

    def overdue(self, now_s: float) -> FailureKind | None:
        """The time limit that has passed, if one has."""
        if now_s >= self.total_s:
            return FailureKind.TOTAL
        if now_s >= self.phase_s and self.waiter is not None:
            return self.phase
        return None

    def _take(self) -> bytes:
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._waiting_bytes = 0
        if self.connection is not None:
            self.connection.resume()
        return piece

    def _inflate(self, piece: bytes) -> bytes:
        assert self.inflater is not None  # noqa: S101 - its callers looked
        try:
            return self.inflater.step(piece)
        except InflateError as error:
            raise self._refuse(str(error)) from error

    def _end_inflating(self) -> None:
        assert self.inflater is not None  # noqa: S101 - its caller looked
        try:
            self.inflater.finish()
        except InflateError as error:
            raise self._refuse(str(error)) from error

    def _refuse(self, message: str) -> TransportError:
        self.close()
        self._pieces.clear()
        self.inflater = None
        self.error = TransportError(FailureKind.BAD_RESPONSE, message, sent=True)
        return self.error.anew()
