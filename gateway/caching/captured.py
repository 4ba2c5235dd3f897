"""An upstream's answer on its way to the caller, kept whole for whoever asks next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.base import Tally
    from gateway.upstream import Answer


class Taken(NamedTuple):
    """All of an answer as the caller got it: one body, or with `is_events` the events of a stream."""

    body: bytes
    is_events: bool
    headers: tuple[tuple[str, str], ...]
    tally: Tally


def captured(answer: Answer, most_bytes: int, then: Callable[[Taken | None], object]) -> Answer:
    """The answer, to be read as it is. `then` hears of it once at its honest end: None for one that is too long, or of
    which something was lost on the way. It never hears of one that breaks or is left.
    """
    if answer.body is None:
        return Captured(answer, most_bytes, then)
    then(_whole(answer, answer.body, most_bytes))
    return answer


class Captured:
    """A stream; see `captured`."""

    def __init__(self, answer: Answer, most_bytes: int, then: Callable[[Taken | None], object]) -> None:
        self.body: bytes | None = None
        self.headers = answer.headers
        self.first_token_s = answer.first_token_s
        self.tally = answer.tally
        self._answer = answer
        self._most_bytes = most_bytes
        self._then: Callable[[Taken | None], object] | None = then
        self._pieces: list[bytes] = []
        self._held_bytes = 0

    async def read(self) -> bytes:
        piece = await self._answer.read()
        self.tally = self._answer.tally
        if piece:
            self._hold(piece)
        elif (then := self._then) is not None:
            self._then = None
            then(self._taken())
        return piece

    def close(self) -> None:
        self._then = None
        self._pieces.clear()
        self._answer.close()

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes <= self._most_bytes:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def _taken(self) -> Taken | None:
        if self._held_bytes > self._most_bytes or self.tally.damaged_events:
            return None
        return Taken(b"".join(self._pieces), is_events=True, headers=self.headers, tally=self.tally)


def _whole(answer: Answer, body: bytes, most_bytes: int) -> Taken | None:
    return Taken(body, is_events=False, headers=answer.headers, tally=answer.tally) if len(body) <= most_bytes else None
