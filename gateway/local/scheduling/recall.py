"""What a slot is about to forget is kept, and what was kept comes back to a slot, where either pays."""

from __future__ import annotations

from array import array
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.local.scheduling.gauges import Mean
from gateway.local.scheduling.states import Kept
from policies.placement import CopyPace, keeping_pays, restoring_pays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.local.binding.context import Context
    from gateway.local.scheduling.gauges import Gauges
    from gateway.local.scheduling.states import StateStore
    from policies.placement import Terms


class Text(NamedTuple):
    """What a slot knows: `cells` cells, of which `tokens` may be used, by prompts of this scope."""

    slot: int
    scope: str
    tokens: Sequence[int]
    cells: int


class Recall:
    """Between the slots of a context and the store beside them, on the engine's thread. Copies are timed."""

    def __init__(self, context: Context, store: StateStore, gauges: Gauges) -> None:
        self._context = context
        self._store = store
        self._gauges = gauges
        self._keeping, self._restoring = Mean(), Mean()

    @property
    def outlives(self) -> bool:
        """Whether what is kept is there after the process."""
        return self._store.folder is not None

    def pace(self) -> CopyPace:
        return CopyPace(self._gauges.reading.value, self._keeping.value, self._restoring.value)

    def keep(self, text: Text, staying_tokens: int = 0) -> None:
        """The slot is about to forget all but the first `staying_tokens`."""
        if not keeping_pays(text.cells, len(text.tokens) - staying_tokens, self.pace()):
            return
        if self._store.holds(text.scope, text.tokens):
            return
        started_s = perf_counter()
        kept = Kept(text.scope, array("i", text.tokens), text.cells, self._context.save(text.slot))
        self._keeping.add(text.cells, perf_counter() - started_s)
        if self._store.add(kept) and self._store.folder is not None:
            self._store.folder.write(kept)

    def find(self, scope: str, prompt: Sequence[int], known_tokens: int, terms: Terms) -> tuple[Kept, int] | None:
        """What to restore for a prompt of which so much is known in a slot, and how much of it is of use."""
        found = self._store.find(scope, prompt)
        if found is None:
            return None
        kept, shared = found
        # The last token is always read anew: its row is wanted.
        shared = min(shared, len(prompt) - 1)
        shared -= shared % terms.grid_tokens
        if shared < kept.cells and not self._context.can_cut_copies:
            return None
        pays = restoring_pays(kept.cells, shared - known_tokens, self.pace(), terms)
        return (kept, shared) if pays else None

    def restore(self, slot: int, kept: Kept, tokens: int) -> int:
        """How many of the tokens the slot knows now."""
        started_s = perf_counter()
        known = self._context.restore(slot, kept.state, kept.cells, tokens)
        self._restoring.add(kept.cells, perf_counter() - started_s)
        self._store.use(kept)
        return known
