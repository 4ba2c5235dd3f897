"""Which run moves to another slot, so that those at work are neighbours.

llama.cpp computes neighbouring sequences in one pass over the weights; each gap between them costs another pass, which
takes as long as a step of one run alone. Moving a run costs a few milliseconds, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Move(NamedTuple):
    """The run in slot `source` goes to `target`; whoever is there takes its place."""

    source: int
    target: int


def closing_move(busy: Sequence[int]) -> Move | None:
    """One step towards no gap: of both ends the shorter row of neighbours gives a run, into the gap next to the other.

    None where there is no gap. Each move draws the outermost closer, so moves come to an end.
    """
    slots = sorted(busy)
    gaps = [index for index in range(1, len(slots)) if slots[index] != slots[index - 1] + 1]
    if not gaps:
        return None
    below, above = gaps[0], len(slots) - gaps[-1]
    if below < above:
        return Move(slots[0], slots[gaps[0]] - 1)
    return Move(slots[-1], slots[gaps[-1] - 1] + 1)


def grouping_move(busy: Mapping[int, str | None]) -> Move | None:
    """One step towards neighbours that compute with one adapter; `busy` says with which each slot does.

    None where all are. Adapters stay in the order of their first slots, and each move puts one more run into its place.
    """
    slots = sorted(busy)
    firsts = dict.fromkeys(busy[slot] for slot in slots)
    if _passes(busy, slots) == len(firsts):
        return None
    wanted = [adapter for first in firsts for adapter in busy.values() if adapter == first]
    for slot, adapter in enumerate(wanted, slots[0]):
        if slot not in busy or busy[slot] != adapter:
            return Move(next(one for one in slots if one > slot and busy[one] == adapter), slot)
    return None


def _passes(busy: Mapping[int, str | None], slots: Sequence[int]) -> int:
    """How many rows of neighbours with one adapter there are."""
    return sum(slot - 1 not in busy or busy[slot - 1] != busy[slot] for slot in slots)
