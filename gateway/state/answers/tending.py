"""Keeps what all owners have on Redis within the bounds together, and says how much it is.

To know it is to go through all keys, so one process of the fleet does it at a time, leaves the sums on Redis for the
others, and then all rest many times as long as it took.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.state.answers.scripts import FLEET_TAG
from gateway.state.redis.scripts import command

if TYPE_CHECKING:
    from gateway.state.answers.line import Line
    from gateway.state.answers.scripts import Keys
    from gateway.state.answers.walking import Walker
    from policies.cache_eviction import Bounds

REST_S: Final = 1.0
REST_TIMES: Final = 30
CLAIM_MS: Final = b"30000"

_encode: Final = msgspec.msgpack.Encoder().encode


class Sums(NamedTuple):
    """What all owners have."""

    entries: int
    size_bytes: int


_decode: Final = msgspec.msgpack.Decoder(Sums).decode


class Tender:
    """`evicted` and `expired` count what this process let go of here."""

    def __init__(self, line: Line, keys: Keys, walker: Walker, bounds: Bounds) -> None:
        self._line = line
        self._keys = keys
        self._walker = walker
        self._bounds = bounds
        self.evicted = self.expired = 0

    async def sums(self) -> Sums | None:
        """As they were a moment ago; None while another process finds them out. Raises `StoreUnavailable`."""
        said = await self._line.ask(command(b"GET", self._keys.sums), FLEET_TAG)
        if isinstance(said, bytes):
            try:
                return _decode(said)
            except msgspec.MsgspecError:
                pass  # nobody of ours wrote it: it is found out anew
        claim = command(b"SET", self._keys.tending, b"1", b"NX", b"PX", CLAIM_MS)
        return await self.tend() if await self._line.ask(claim, FLEET_TAG) is not None else None

    async def tend(self) -> Sums:
        """Lets go of what has expired, and of what there is too much of. Raises `StoreUnavailable`."""
        began_s = time.monotonic()
        held = {one.owner: one for one in await self._walker.holdings(await self._walker.owners(), self._bounds)}
        fitted = await self._walker.fit(list(held.values()), self._bounds)
        self.evicted += sum(one.evicted for one in (*held.values(), *fitted))
        self.expired += sum(one.expired for one in (*held.values(), *fitted))
        held |= {one.owner: one for one in fitted}
        sums = Sums(sum(one.entries for one in held.values()), sum(one.size_bytes for one in held.values()))
        rest_ms = 1000 * max(REST_S, REST_TIMES * (time.monotonic() - began_s))
        await self._line.ask(command(b"SET", self._keys.sums, _encode(sums), b"PX", b"%d" % int(rest_ms)), FLEET_TAG)
        await self._line.ask(command(b"DEL", self._keys.tending), FLEET_TAG)
        return sums

    def forget_sums(self) -> None:
        """They are no longer nearly right."""
        self._line.tell(command(b"DEL", self._keys.sums), FLEET_TAG)
