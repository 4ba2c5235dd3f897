"""Outcomes kept in this process: oldest out first, when their time is up or the room is needed.

An outcome that must go before its time leaves a mark, so that the call is not made and billed once more unnoticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.state.replays.store import Busy, Claimed, Kept
from policies.replaying import spent_max

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.replays.store import Found, Outcome, Slot
    from policies.route_rules import ReplayRules

Place = tuple[str, str]


class _Entry(NamedTuple):
    kept: Kept
    until_s: float


class InProcessReplays:
    """A `ReplayStore`. `rules` are asked for at each use, as a reload may change them."""

    def __init__(self, rules: Callable[[], ReplayRules], clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._claimed: dict[Place, bytes] = {}
        self._kept: dict[Place, _Entry] = {}
        self._spent: dict[Place, _Entry] = {}
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._spent)

    async def claim(self, slot: Slot) -> Found:
        place = slot.tenant, slot.name
        running = self._claimed.get(place)
        if running is not None:
            return Busy(running)
        entry = self._kept.get(place) or self._spent.get(place)
        if entry is not None and entry.until_s > self._clock():
            return entry.kept
        self._claimed[place] = slot.fingerprint
        return Claimed()

    async def keep(self, slot: Slot, outcome: Outcome) -> None:
        place = slot.tenant, slot.name
        if self._claimed.pop(place, None) is None:
            return
        self._forget(place)
        entry = _Entry(Kept(slot.fingerprint, outcome), self._clock() + self._rules().ttl_s)
        if outcome.is_spent:
            self._spent[place] = entry
        else:
            self._kept[place] = entry
            self.kept_bytes += outcome.size_bytes
        self._make_room()

    def release(self, slot: Slot) -> None:
        self._claimed.pop((slot.tenant, slot.name), None)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def _make_room(self) -> None:
        now, room_bytes = self._clock(), self._rules().bytes_max
        while self._kept:
            place = next(iter(self._kept))
            entry = self._kept[place]
            if self.kept_bytes <= room_bytes and entry.until_s > now:
                break
            self._forget(place)
            if entry.until_s > now:
                kept = entry.kept
                self._spent[place] = _Entry(Kept(kept.fingerprint, kept.outcome.without_text()), entry.until_s)
        while self._spent:
            place = next(iter(self._spent))
            if len(self._spent) <= spent_max(room_bytes) and self._spent[place].until_s > now:
                break
            del self._spent[place]

    def _forget(self, place: Place) -> None:
        entry = self._kept.pop(place, None)
        if entry is not None:
            self.kept_bytes -= entry.kept.outcome.size_bytes
        self._spent.pop(place, None)
