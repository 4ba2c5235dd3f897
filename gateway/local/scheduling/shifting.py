"""What becomes of a run that has filled its slot and goes on writing: its text loses a part from the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.local.binding.context import Context
    from gateway.local.scheduling.runs import Run
    from gateway.local.scheduling.slots import Slot

# The system's message, and whatever else a prompt begins with, stays: up to this part of the context.
KEPT_PART: Final = 4


class Shifting:
    """Makes room in slots. `is_on` is false where the end of the context ends an answer."""

    def __init__(self, context: Context, grid_tokens: int, *, is_on: bool) -> None:
        self.is_on = is_on
        self._context = context
        self._grid_tokens = grid_tokens or 1
        # Cells that a text got from another belong to both where all share one pool. And what was moved is not quite
        # what it would be if read, so an answer would depend on how it came about.
        self._moves = not context.unified and not grid_tokens and context.can_shift

    def make_room(self, slot: Slot, run: Run) -> None:
        """If the slot is full, drop the older half of its text after the beginning; where cells cannot be moved, the
        rest is read again.
        """
        if not self.is_on or slot.known < self._context.context_tokens:
            return
        kept = min(run.prompt_tokens, self._context.context_tokens // KEPT_PART)
        kept -= kept % self._grid_tokens
        dropped = (slot.known - kept + 1) // 2
        if self._moves and self._context.drop(slot.number, kept, kept + dropped):
            slot.known -= dropped
            # These cells have seen what is gone: they are the beginning of no text that anybody could have.
            slot.scope = f"{slot.scope}\0{run.number}"
            slot.is_kept = True
        else:
            slot.known = self._context.rewind(slot.number, kept)
        slot.on_grid = min(slot.on_grid, kept, slot.known)
        slot.family = None
        del run.tokens[kept : kept + dropped]
        run.shifted_tokens += dropped
