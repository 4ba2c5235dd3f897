"""Goes through what all owners have on Redis: to drop, to list, to count, and to keep the whole within its bounds.

Owners are found by going through all keys, in slices; a list of them kept aside could be lost without them, and what is
to be dropped must be certain to be met.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.state.answers.scripts import SCRIPTS
from gateway.state.answers.store import StoreUnavailable
from gateway.state.redis.scripts import call, command, tag_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from gateway.state.answers.line import Line
    from gateway.state.answers.scripts import Keys
    from gateway.state.answers.store import Which
    from policies.cache_eviction import Bounds

KEYS_PER_SLICE: Final = b"1000"
STEPS: Final = b"200"
AT_ONCE: Final = 32


class Holdings(NamedTuple):
    """What one owner has, after what had expired went."""

    owner: str
    entries: int
    size_bytes: int
    evicted: int
    expired: int


class Walker:
    """`forget` hears of every owner's entries that went: id and shelf, in turns."""

    def __init__(
        self, line: Line, keys: Keys, clock: Callable[[], float], forget: Callable[[str, Sequence[bytes]], None]
    ) -> None:
        self._line = line
        self._keys = keys
        self._clock = clock
        self._forget = forget

    async def owners(self) -> set[str]:
        """All that have anything from the beginning to the end of this. Raises `StoreUnavailable`."""
        found: set[str] = set()
        for address in await self._line.masters():
            cursor = b"0"
            while True:
                scan = command(b"SCAN", cursor, b"MATCH", self._keys.known_pattern, b"COUNT", KEYS_PER_SLICE)
                cursor, names = _pair(await self._line.ask_at(address, scan))
                found.update(owner for name in names if (owner := self._keys.owner_in(name)) is not None)
                if cursor == b"0":
                    break
        return found

    async def steps(self, owner: str, which: Which, *, drops: bool) -> AsyncIterator[list[str]]:
        """The ids of an owner's entries that are meant, a few at a time; one may come twice if it is not dropped."""
        before_ms = None if which.stored_before_s is None else which.stored_before_s * 1000
        wanted = (which.id, which.route, which.tag, before_ms)
        sought = [b"" if one is None else f"={one}".encode() for one in wanted]
        cursor = b"0"
        while True:
            arguments = (b"1" if drops else b"0", self._now(), cursor, STEPS, *sought)
            said = await self._call(owner, SCRIPTS.walk, arguments)
            cursor, met, gone = _walked(said)
            self._forget(owner, gone)
            yield met
            if cursor == b"0":
                return

    async def drop(self, owner: str, which: Which) -> int:
        """Raises `StoreUnavailable`."""
        return sum([len(met) async for met in self.steps(owner, which, drops=True)])

    async def holdings(self, owners: Iterable[str], bounds: Bounds) -> list[Holdings]:
        """What each of them has, once it is within the bounds. Raises `StoreUnavailable`."""
        few = asyncio.Semaphore(AT_ONCE)

        async def pruned(owner: str) -> Holdings:
            async with few:
                return await self.prune(owner, bounds.entries_max, bounds.bytes_max)

        return list(await asyncio.gather(*map(pruned, owners)))

    async def prune(self, owner: str, entries_max: int, bytes_max: int) -> Holdings:
        """Lets go of what has expired, and of what there is no room for. Raises `StoreUnavailable`."""
        evicted = expired = 0
        while True:
            said = await self._call(owner, SCRIPTS.prune, (self._now(), b"%d" % entries_max, b"%d" % bytes_max))
            if not isinstance(said, list) or len(said) != 5:
                raise StoreUnavailable("Redis answered what was not asked")
            self._forget(owner, said[2])
            evicted, expired = evicted + said[0], expired + said[1]
            if not said[2]:
                return Holdings(owner, said[3], said[4], evicted, expired)

    async def fit(self, held: Sequence[Holdings], bounds: Bounds) -> list[Holdings]:
        """Makes those who have most give up what all have too much together; what those have then."""
        entries_max = level([one.entries for one in held], bounds.entries_max)
        bytes_max = level([one.size_bytes for one in held], bounds.bytes_max)
        greedy = [one.owner for one in held if one.entries > entries_max or one.size_bytes > bytes_max]
        return [await self.prune(owner, entries_max, bytes_max) for owner in greedy]

    async def _call(self, owner: str, script: Any, arguments: Sequence[bytes]) -> object:  # noqa: ANN401
        return await self._line.ask(call(script, (self._keys.known(owner),), arguments), tag_of(owner), script)

    def _now(self) -> bytes:
        return b"%d" % int(self._clock() * 1000)


def level(amounts: Sequence[int], most: int) -> int:
    """How much each may have at most so that all have no more than `most` together: the small keep what they have."""
    left = most
    for number, amount in enumerate(sorted(amounts)):
        share = left // (len(amounts) - number)
        if amount > share:
            return share
        left -= amount
    return most


def _pair(said: object) -> tuple[bytes, list[bytes]]:
    if not isinstance(said, list) or len(said) != 2:
        raise StoreUnavailable("Redis answered what was not asked")
    return said[0], said[1]


def _walked(said: object) -> tuple[bytes, list[str], list[bytes]]:
    if not isinstance(said, list) or len(said) != 3:
        raise StoreUnavailable("Redis answered what was not asked")
    return said[0], [one.decode(errors="replace") for one in said[1]], said[2]
