"""The commit window: how much of a good beginning is held back, so that a failure may still move elsewhere unseen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.upstream import Answer
    from policies.route_rules import CommitRules

HELD_BYTES_MAX: Final = 1 << 20


def holds_back(rules: CommitRules) -> bool:
    """Whether more than the first content is waited for; that much each upstream holds back by itself."""
    return rules.tokens > 1 or rules.hold_s > 0.0


async def hold(answer: Answer, rules: CommitRules) -> Answer:
    """The stream, once enough of it has come. Raises `UpstreamError` where it breaks before, with nothing shown."""
    held = HeldAnswer(answer)
    try:
        await held.fill(rules)
    except BaseException:
        held.close()
        raise
    return held


class HeldAnswer:
    """A stream whose beginning is kept until `fill` returns, and which goes on as it is."""

    def __init__(self, answer: Answer) -> None:
        self.body: bytes | None = None
        self.headers = answer.headers
        self.first_token_s = answer.first_token_s
        self.tally = answer.tally
        self._answer = answer
        self._held: list[bytes] = []
        self._reading: asyncio.Task[bytes] | None = None

    async def fill(self, rules: CommitRules) -> None:
        """Wait for `tokens` events with content or for `hold_s`, whichever is stated and comes first."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + rules.hold_s if rules.hold_s > 0.0 else None
        wanted = rules.tokens if rules.tokens > 1 else None
        contents, held_bytes, kept = 0, 0, 0
        while held_bytes < HELD_BYTES_MAX:
            data = await self._read_by(until_s)
            if not data:  # the honest end, or the end of the time
                return
            self._held.append(data)
            held_bytes += len(data)
            # Pieces of text are joined now and then; what came with that is one more.
            grown = len(self.tally.text) - kept
            contents, kept = contents + (grown if grown >= 0 else 1), kept + grown
            if wanted is not None and contents >= wanted:
                return

    async def read(self) -> bytes:
        """As the stream's own. What was held back comes first."""
        if self._held:
            data, self._held = b"".join(self._held), []
            return data
        reading, self._reading = self._reading, None
        return await (self._answer.read() if reading is None else reading)

    def close(self) -> None:
        self._held = []
        if self._reading is not None:
            self._reading.cancel()
            self._reading.add_done_callback(_forget)
        self._answer.close()

    async def _read_by(self, until_s: float | None) -> bytes:
        """What comes next; nothing at the end, or at `until_s`, where the reading goes on for whoever reads then."""
        if until_s is None:
            return await self._answer.read()
        reading = self._reading
        if reading is None:
            reading = self._reading = asyncio.ensure_future(self._answer.read())
        left_s = until_s - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait((reading,), timeout=max(0.0, left_s))
        if not done:
            return b""
        self._reading = None
        return reading.result()


def _forget(reading: asyncio.Task[bytes]) -> None:
    """What it came to is nobody's business any more."""
    if not reading.cancelled():
        reading.exception()
