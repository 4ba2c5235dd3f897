from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.state.answers.drops import REMEMBERED_MAX, REMEMBERED_S, Drops
from gateway.state.answers.store import Which
from tests.answer_store_suite import Asked

NOW_S = 1_800_000_000.0
BEFORE = Asked().entry(NOW_S - 1.0, tags=("faq",))
AFTER = replace(BEFORE, stored_at_s=NOW_S + 1.0)


@pytest.mark.parametrize(
    ("which", "is_meant"),
    [
        (Which(tag="faq"), True),
        (Which(tag="other"), False),
        (Which(owner=BEFORE.owner), True),
        (Which(stored_before_s=NOW_S), True),
        (Which(stored_before_s=NOW_S - 2.0), False),
        (Which(id=BEFORE.id), False),
    ],
)
def test_what_was_under_way_is_dropped_as_well(which: Which, is_meant: bool) -> None:  # noqa: FBT001 - a parameter
    drops = Drops()
    drops.note(which, NOW_S)
    assert drops.hold(BEFORE) is is_meant
    assert not drops.hold(AFTER)


def test_what_is_remembered_is_bounded_and_forgets_to_the_safe_side() -> None:
    drops = Drops()
    for number in range(REMEMBERED_MAX + 1):
        drops.note(Which(tag=f"t{number}"), NOW_S + number)
    assert len(drops._dropped) == REMEMBERED_MAX
    assert drops.hold(replace(BEFORE, tags=()))
    assert not drops.hold(replace(BEFORE, tags=(), stored_at_s=NOW_S))
    drops.note(Which(tag="t"), NOW_S + REMEMBERED_S + REMEMBERED_MAX + 1.0)
    assert len(drops._dropped) == 1
