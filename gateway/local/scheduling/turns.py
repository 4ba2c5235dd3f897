"""Whose step is next, where runs are computed with different adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.batching import Turn, next_turn

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from gateway.local.binding.context import Context

_NEVER_S = float("-inf")


class Turns:
    """Lets the adapters of a context take turns."""

    def __init__(self, context: Context, max_decode_gap_s: float) -> None:
        self._context = context
        self._max_decode_gap_s = max_decode_gap_s
        self._turn = Turn(None, _NEVER_S)
        self._served_s: dict[str | None, float] = {}

    def next(self, waiting: AbstractSet[str | None], now: float) -> str | None:
        """The adapter of the next step, which the context computes with from now on; of those that wait."""
        served_s = {adapter: self._served_s.get(adapter, _NEVER_S) for adapter in waiting}
        self._turn = next_turn(served_s, self._turn, now, self._context.change_s, self._max_decode_gap_s)
        adapter = self._turn.adapter
        self._served_s[adapter] = now
        self._context.adapt(adapter)
        return adapter
