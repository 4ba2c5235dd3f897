from __future__ import annotations

import msgspec
import pytest

from gateway.state.answers.shelves import GONE, NO_RECORD, Row, Shelved, Shelves
from gateway.state.answers.store import Entry, Record, Used, Which
from policies.cache_eviction import Bounds
from tests.answer_store_suite import OTHER, OWNER, TTL_S, Asked

NOW_S = 1_800_000_000.0


def made(name: str, *, cost: int = 1_000, body: int = 100, owner: str = OWNER, ttl_s: float = TTL_S) -> Entry:
    entry = Asked(name, owner=owner).entry(NOW_S, f"ce_{name}")
    return msgspec.structs.replace(
        entry, body=b"x" * body, used=Used(cost_nanousd=cost), expires_at_s=NOW_S + ttl_s, tags=("t",)
    )


class Rig:
    def __init__(self, entries_max: int = 10, bytes_max: int = 1 << 20, share: float = 0.5) -> None:
        self.gone: list[str] = []
        self.shelves = Shelves(Bounds(entries_max, bytes_max, share), lambda one: self.gone.append(one.entry.id))

    def put(self, *entries: Entry, now_s: float = NOW_S) -> list[Shelved | None]:
        return [self.shelves.put(entry, NO_RECORD, now_s) for entry in entries]

    @property
    def held(self) -> set[str]:
        return set(self.shelves.by_id)


def test_what_saves_least_for_its_size_goes_first() -> None:
    rig = Rig(entries_max=3)
    rig.put(made("cheap", cost=100), made("large", cost=1_000, body=20_000), made("dear", cost=9_000))
    rig.put(made("usual"))
    rig.put(made("other"))
    assert rig.gone == ["ce_large", "ce_cheap"]
    assert rig.shelves.evicted == 2


def test_what_was_served_stays() -> None:
    rig = Rig(entries_max=2)
    first, _ = rig.put(made("a"), made("b"))
    assert first is not None
    rig.shelves.add(first, Record(hits=1))
    rig.put(made("c"))
    assert rig.gone == ["ce_b"]


def test_feedback_alone_makes_nothing_worth_more() -> None:
    rig = Rig()
    (one,) = rig.put(made("a"))
    assert one is not None
    before = one.rank
    rig.shelves.add(one, Record(good=5, bad=5))
    assert one.rank == before
    assert one.record == Record(0, 5, 5)


def test_what_is_not_asked_for_any_more_goes_in_the_end_whatever_it_saved() -> None:
    rig = Rig(entries_max=5)
    rig.put(made("dear", cost=20_000))
    rig.put(*(made(str(number)) for number in range(200)))
    assert "ce_dear" not in rig.held


def test_where_all_are_alike_the_least_recently_served_goes() -> None:
    rig = Rig(entries_max=3)
    rig.put(made("a"), made("b"), made("c"), made("d"), made("e"), made("f"))
    assert rig.gone == ["ce_a", "ce_b", "ce_c"]


def test_what_has_expired_goes_before_what_saves_little() -> None:
    rig = Rig(entries_max=2)
    rig.put(made("dear", cost=10**9, ttl_s=5.0), made("cheap", cost=1))
    rig.put(made("new"), now_s=NOW_S + 6.0)
    assert rig.gone == ["ce_dear"]
    assert (rig.shelves.expired, rig.shelves.evicted) == (1, 0)


def test_one_owner_cannot_push_out_the_others() -> None:
    rig = Rig(entries_max=10)
    rig.put(*(made(f"o{number}", owner=OTHER, cost=1) for number in range(4)))
    rig.put(*(made(str(number), cost=10**6) for number in range(1_000)))
    held = [one.entry.owner for one in rig.shelves.by_id.values()]
    assert (held.count(OTHER), held.count(OWNER)) == (4, 6)


def test_one_owner_s_bytes_do_not_push_out_the_others_either() -> None:
    rig = Rig(entries_max=1_000, bytes_max=100_000)
    rig.put(*(made(f"o{number}", owner=OTHER, cost=1) for number in range(20)))
    rig.put(*(made(str(number), body=5_000) for number in range(100)))
    assert sum(one.entry.owner == OTHER for one in rig.shelves.by_id.values()) == 20
    assert rig.shelves.size_bytes <= 100_000


def test_one_owner_alone_may_have_all_of_it_and_makes_room_for_the_next() -> None:
    rig = Rig(entries_max=10)
    rig.put(*(made(str(number), cost=10**6) for number in range(10)))
    assert len(rig.held) == 10
    rig.put(*(made(f"o{number}", owner=OTHER, cost=1) for number in range(5)))
    assert sum(one.entry.owner == OTHER for one in rig.shelves.by_id.values()) == 5


def test_what_is_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    rig = Rig(bytes_max=80_000)
    rig.put(made("a"))
    assert rig.put(made("large", body=20_000)) == [None]
    assert rig.held == {"ce_a"}
    assert rig.gone == []


def test_nobody_pushes_out_another_s_entry_by_its_id() -> None:
    rig = Rig()
    rig.put(made("a"))
    assert rig.put(msgspec.structs.replace(made("b", owner=OTHER), id="ce_a")) == [None]
    assert rig.shelves.by_id["ce_a"].entry.owner == OWNER


def test_an_id_stands_once() -> None:
    rig = Rig()
    rig.put(made("a"), msgspec.structs.replace(made("b"), id="ce_a"))
    assert len(rig.shelves) == 1
    assert rig.shelves.by_digest(OWNER, made("a").exact, b"") is None
    assert rig.shelves.by_digest(OWNER, made("b").exact, b"") is not None


def test_the_newest_of_a_plain_form_is_found_by_it() -> None:
    rig = Rig()
    old, new = made("log in"), msgspec.structs.replace(made("Log in?"), stored_at_s=NOW_S + 1.0)
    for entries in ((old, new), (new, old)):  # the other way round as a file is loaded
        rig.put(*entries)
        found = rig.shelves.by_digest(OWNER, b"", old.near)
        assert found is not None
        assert found.entry == new
        rig.shelves.remove(rig.shelves.by_id[old.id])
        assert rig.shelves.by_digest(OWNER, b"", old.near) is found
        rig.shelves.remove(found)


def test_what_is_gone_leaves_nothing_behind() -> None:
    rig = Rig(entries_max=100)
    shelves = rig.shelves
    entries = [made(str(number), owner=f"team:{number % 7}") for number in range(100)]
    rig.put(*(msgspec.structs.replace(entry, tags=("t", "t", "u")) for entry in entries))
    for one in list(shelves.matching(Which(tag="t"))):
        shelves.remove(one)
        assert one.entry is GONE
    assert len(rig.gone) == 100
    assert (len(shelves), shelves.size_bytes) == (0, 0)
    assert (shelves._by_owner, shelves._by_route, shelves._by_tag, shelves._greedy) == ({}, {}, {}, {})
    assert max(len(row._heap) for row in (shelves._ranking, shelves._by_expiry)) < 200


def test_rows_do_not_grow_with_what_passes_through() -> None:
    rig = Rig(entries_max=10)
    rig.put(*(made(str(number)) for number in range(2_000)))
    for row in (rig.shelves._ranking, rig.shelves._by_expiry, rig.shelves._by_owner[OWNER].ranking):
        assert len(row._heap) < 200


def test_a_sweep_takes_so_many_at_most() -> None:
    rig = Rig(entries_max=100)
    rig.put(*(made(str(number), ttl_s=float(number)) for number in range(1, 51)))
    assert rig.shelves.sweep(NOW_S + 20.0, 15) == 15
    assert rig.shelves.sweep(NOW_S + 20.0, 15) == 5
    assert rig.shelves.sweep(NOW_S + 20.0, 15) == 0
    assert len(rig.shelves) == 30


def test_a_row_begins_with_what_is_least_now() -> None:
    row = Row(lambda one: one.rank)
    ones = [Shelved(number, made(str(number)), NO_RECORD, 1) for number in range(5)]
    for one in ones:
        one.rank = float(one.number)
        row.put(one)
    ones[0].rank = 2.5
    ones[1].is_gone = True
    row.forget()
    assert row.first() is ones[2]
    ones[2].rank = 9.0
    assert row.first() is ones[0]
    for one in ones:
        one.is_gone = True
        row.forget()
    assert row.first() is None


@pytest.mark.parametrize("which", [Which(id="ce_0"), Which(tag="t"), Which(owner=OWNER), Which(route="faq"), None])
def test_what_is_looked_at_may_go_meanwhile(which: Which | None) -> None:
    rig = Rig(entries_max=100)
    rig.put(*(made(str(number)) for number in range(20)))
    for one in rig.shelves.matching(which):
        rig.shelves.remove(one)
    assert list(rig.shelves.matching(which)) == []


def test_all_that_has_expired_goes_before_anything_that_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.shelves.SWEPT_PER_PUT", 0)
    rig = Rig(entries_max=100, bytes_max=80_000)
    rig.put(made("cheap", cost=1), *(made(str(number), cost=10**6, ttl_s=5.0) for number in range(40)))
    rig.put(made("large", body=8_000), made("larger", body=8_000), now_s=NOW_S + 6.0)
    assert "ce_cheap" in rig.held
    assert rig.shelves.evicted == 0
