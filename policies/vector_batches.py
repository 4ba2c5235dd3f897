"""What an engine of vectors computes next: which texts of which requests share a batch.

Texts are read whole, each in one batch, so a batch is filled like a box: the request whose tenant has had least gets
the next text in, its longest that still fits. A request of thousands of texts therefore takes turns with the small ones
that come after it, and a long text waits for an empty box, which its request is bound to get.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Pile(NamedTuple):
    """One request and the lengths of its texts still to be read, ascending, in tokens.

    `flow` is whose burst waits behind itself, `weight` its share. A higher `priority` goes first.
    """

    number: int
    flow: str
    weight: float
    priority: int
    lengths: Sequence[int]


class Box(NamedTuple):
    """What one batch holds at most. A text longer than `tokens` has a batch of its own."""

    tokens: int
    texts: int


class Served(NamedTuple):
    """What was read so far: by flow in tokens over weight, by request in tokens.

    A flow that is not listed starts where the least served of those that are at work stands, and a request where the
    least served of its flow's does: being away earns nothing, and newcomers starve nobody.
    """

    flows: Mapping[str, float] = {}
    requests: Mapping[int, int] = {}


class Pick(NamedTuple):
    """A text that goes into the batch: `position` within its pile's lengths as they are before the batch."""

    number: int
    position: int


class Batch(NamedTuple):
    picks: tuple[Pick, ...]
    served: Served


def next_batch(piles: Sequence[Pile], box: Box, served: Served) -> Batch:
    """The texts of the next batch, and what has been served with it. Never empty where any pile is not."""
    accounts = _Accounts(piles, served)
    left: dict[int, list[int]] = {}
    picks: list[Pick] = []
    room = box.tokens
    while len(picks) < box.texts and room > 0 and (pile := accounts.least_served()) is not None:
        if pile.number not in left:
            left[pile.number] = list(range(len(pile.lengths)))
        positions = left[pile.number]
        fitting = bisect_right(positions, room, key=pile.lengths.__getitem__)
        if not fitting and picks:
            continue
        position = positions.pop(max(0, fitting - 1))
        picks.append(Pick(pile.number, position))
        accounts.charge(pile, pile.lengths[position], may_go_on=bool(positions))
        room -= pile.lengths[position]
    return Batch(tuple(picks), accounts.served())


class _Accounts:
    """Who has had how much, while a batch is being filled, and who is next."""

    def __init__(self, piles: Sequence[Pile], served: Served) -> None:
        flows = {pile.flow for pile in piles}
        start = min((at for flow, at in served.flows.items() if flow in flows), default=0.0)
        self._flows = {flow: served.flows.get(flow, start) for flow in flows}
        known = [(pile.flow, served.requests[pile.number]) for pile in piles if pile.number in served.requests]
        starts = {flow: min(tokens for other, tokens in known if other == flow) for flow, _ in known}
        self._requests = {pile.number: served.requests.get(pile.number, starts.get(pile.flow, 0)) for pile in piles}
        self._line = [(self._rank(pile), pile) for pile in piles if pile.lengths]
        heapify(self._line)

    def least_served(self) -> Pile | None:
        """The pile whose turn it is; it leaves the line until it is charged."""
        while self._line:
            rank, pile = heappop(self._line)
            # Ranks only ever grow: one that has not is the least of all.
            if (now := self._rank(pile)) == rank:
                return pile
            heappush(self._line, (now, pile))
        return None

    def charge(self, pile: Pile, tokens: int, *, may_go_on: bool) -> None:
        self._flows[pile.flow] += tokens / pile.weight
        self._requests[pile.number] += tokens
        if may_go_on:
            heappush(self._line, (self._rank(pile), pile))

    def served(self) -> Served:
        return Served(self._flows, self._requests)

    def _rank(self, pile: Pile) -> tuple[int, float, int, int]:
        return -pile.priority, self._flows[pile.flow], self._requests[pile.number], pile.number
