"""Brings together what is kept of calls and what a cache has stored of their answers, whichever is known first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from gateway.signals.span_values import Link

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.signals.sampling import SampledBy

Note = TypeVar("Note")

NOTES_MAX: Final = 1_024
"""Of each kind. A store that takes longer than so many calls is not told of."""


class Trail(NamedTuple):
    """A call whose trace is kept: its SERVER span, and who keeps it."""

    link: Link
    reasons: tuple[SampledBy | None, ...]
    entry: str


class Stored(NamedTuple):
    """An answer was stored, from one moment to another."""

    trail: Trail
    start_ns: int
    end_ns: int


class StoreNotes:
    """On the event loop. Bounded; what is oldest is forgotten."""

    def __init__(self) -> None:
        self._trails: OrderedDict[str, Trail] = OrderedDict()
        self._times_ns: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def kept(self, call: Call, reasons: tuple[SampledBy | None, ...]) -> Stored | None:
        """This call's trace is kept; what was stored of its answer, where that is known by now."""
        cached = call.cached
        if cached is None or cached.is_hit or not cached.entry_id:
            return None
        trail = Trail(Link(call.trace.trace_id, call.trace.span_id), reasons, cached.entry_id)
        times_ns = self._times_ns.pop(call.id, None)
        if times_ns is not None:
            return Stored(trail, *times_ns)
        _put(self._trails, call.id, trail)
        return None

    def stored(self, call: Call, times_ns: tuple[int, int]) -> Stored | None:
        """Its answer was stored between these moments; the whole, where its trace is kept and that is known by now."""
        trail = self._trails.pop(call.id, None)
        if trail is not None:
            return Stored(trail, *times_ns)
        _put(self._times_ns, call.id, times_ns)
        return None


def _put(notes: OrderedDict[str, Note], name: str, note: Note) -> None:
    notes[name] = note
    if len(notes) > NOTES_MAX:
        notes.popitem(last=False)
