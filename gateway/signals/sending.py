"""What every sender of telemetry says of what it was given."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol, TypeVar

Item = TypeVar("Item")

RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""Statuses by which a receiver asks for another try, as OTLP has them."""


class Sent(NamedTuple):
    """How many of what was given the receiver will never take. `retry_after_s` is set where it took nothing and may
    take all of it later; 0: it named no time. `why` says what was wrong, in words that hold no secret.
    """

    refused: int = 0
    retry_after_s: float | None = None
    why: str = ""


class Sender(Protocol[Item]):
    """Delivers, blocking."""

    def send(self, items: list[Item], /) -> Sent: ...

    def close(self) -> None: ...
