"""Embeddings and rankings from the bundled engine, as one call waits for them."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from adapters.base import EngineTimes, Tally
from adapters.llama_cpp_vectors import answer_pieces
from gateway.errors import UpstreamError
from gateway.local.serving.endings import error_of
from policies.vocabulary import Failure, FailureKind

if TYPE_CHECKING:
    from adapters.llama_cpp_job import Scores, Vectors
    from adapters.llama_cpp_vectors import Wish
    from gateway.local.serving.ticket import Ticket
    from gateway.upstream import Exchange

_HEADER_CHARS = 200


class VectorAnswer:
    """One job's answer, whole once `gather` has returned. Closing it stops the engine's work on it."""

    def __init__(self, ticket: Ticket, wish: Wish, exchange: Exchange, deployment: str) -> None:
        self.body: bytes | None = None
        self.tally = Tally(model=wish.model, id=f"vec-{secrets.token_hex(12)}")
        self.headers: tuple[tuple[str, str], ...] = ()
        self.first_token_s: float | None = None
        self._ticket = ticket
        self._wish = wish
        self._deadline_s = exchange.deadline_s
        self._deployment = deployment

    async def gather(self) -> None:
        """Wait for the answer. Raises `UpstreamError` and `RequestError`."""
        try:
            while not self._ticket.is_over:
                await self._ticket.wait(self._deadline_s)
            outcome = self._outcome()
            self._ticket.close()
            self.body = await self._written(outcome)
        except TimeoutError:
            words = "The call's time ran out."
            failure = Failure(FailureKind.TOTAL, words, maybe_billed=self._ticket.started)
            raise UpstreamError(failure, self._deployment) from None
        finally:
            self.close()
        if ignored := self._ticket.ignored:
            self.headers = (("x-pointsman-ignored", ", ".join(ignored)[:_HEADER_CHARS]),)

    async def read(self) -> bytes:
        """Nothing: vectors and scores are no stream."""
        return b""

    def close(self) -> None:
        ticket = self._ticket
        self.tally.usage = ticket.usage()
        if ticket.outcome is not None:
            self.tally.engine = EngineTimes(queue_s=ticket.queue_s, compute_s=ticket.outcome.compute_s)
        ticket.close()

    def _outcome(self) -> Vectors | Scores:
        if self._ticket.outcome is None:
            raise error_of(self._ticket, self._deployment)
        return self._ticket.outcome

    async def _written(self, outcome: Vectors | Scores) -> bytes:
        """Other calls get a turn between the pieces."""
        pieces = []
        for piece in answer_pieces(self._wish, outcome, self.tally.id or ""):
            pieces.append(piece)
            await asyncio.sleep(0)
        return b"".join(pieces)
