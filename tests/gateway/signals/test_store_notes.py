from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.call import Cached
from gateway.signals import store_notes
from gateway.signals.sampling import SampledBy
from gateway.signals.span_values import Link
from gateway.signals.store_notes import Stored, StoreNotes, Trail
from tests.gateway.calls import answered, cached_hit

if TYPE_CHECKING:
    from gateway.call import Call

REASONS = (None, SampledBy.RATIO)
TIMES_NS = (10, 20)


def missed() -> Call:
    made = answered()
    made.cached = Cached(entry_id="ce_1")
    return made


def whole(call: Call) -> Stored:
    return Stored(Trail(Link(call.trace.trace_id, call.trace.span_id), REASONS, "ce_1"), *TIMES_NS)


@pytest.mark.parametrize("is_stored_first", [True, False])
def test_what_was_stored_of_a_kept_call_is_told_once_both_are_known(*, is_stored_first: bool) -> None:
    notes, call = StoreNotes(), missed()
    if is_stored_first:
        assert notes.stored(call, TIMES_NS) is None
        assert notes.kept(call, REASONS) == whole(call)
    else:
        assert notes.kept(call, REASONS) is None
        assert notes.stored(call, TIMES_NS) == whole(call)


def test_a_call_that_stores_nothing_is_not_waited_for() -> None:
    notes = StoreNotes()
    for call in (answered(), cached_hit()):
        assert notes.kept(call, REASONS) is None
        assert notes.stored(call, TIMES_NS) is None


def test_notes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_notes, "NOTES_MAX", 2)
    notes, calls = StoreNotes(), [missed() for _ in range(3)]
    for call in calls:
        notes.stored(call, TIMES_NS)
    assert [notes.kept(call, REASONS) is None for call in calls] == [True, False, False]
