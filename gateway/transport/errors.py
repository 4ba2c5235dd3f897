"""What can go wrong between us and an upstream, as an exception that holds a `Failure`."""

from __future__ import annotations

from typing import Self

from policies.vocabulary import Failure, FailureKind

MESSAGES = {
    FailureKind.CONNECT: "The connection to the upstream could not be made.",
    FailureKind.POOL: "All connections to the upstream are in use.",
    FailureKind.RESET: "The upstream closed the connection before its answer was complete.",
    FailureKind.BAD_RESPONSE: "The upstream's answer is not valid HTTP/1.1.",
    FailureKind.FIRST_TOKEN: "The upstream did not begin its answer in time.",
    FailureKind.IDLE: "The upstream stopped sending in the middle of its answer.",
    FailureKind.TOTAL: "The call ran out of time.",
    FailureKind.WRITE: "The upstream did not take the request in time.",
}


class TransportError(Exception):
    """An exchange that failed. The message never names a host; `sent` says that the request went out in full."""

    def __init__(self, kind: FailureKind, message: str | None = None, *, sent: bool = False) -> None:
        self.failure = Failure(kind, message or MESSAGES[kind], maybe_billed=sent)
        super().__init__(self.failure.message)

    def anew(self) -> Self:
        """The same once more, to be raised. What is kept must never be: a raised exception holds on to every frame that
        it came through, and those hold on to what keeps it, buffers and all, until the garbage collector happens by.
        """
        return type(self)(self.failure.kind, self.failure.message, sent=self.failure.maybe_billed)


class StaleConnectionError(TransportError):
    """A kept-alive connection that turned out to be closed before it answered: the one failure that is retried here."""
