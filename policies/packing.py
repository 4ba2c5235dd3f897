"""Which run moves to another slot, so that those at work are neighbours.

llama.cpp computes neighbouring sequences in one pass over the weights; each gap between them costs another pass, which
takes as long as a step of one run alone. Moving a run costs a few milliseconds, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Move(NamedTuple):
    """The run in slot `source` goes to `target`, which is free."""

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
