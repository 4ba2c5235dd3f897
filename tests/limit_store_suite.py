"""What every limit store must do, whatever keeps it: `LimitStoreSuite` is collected by a test class for each store.

    class TestRedisLimitStore(LimitStoreSuite):
        @pytest.fixture
        async def rig(self) -> AsyncIterator[Rig]: ...

A `Rig` is a store and a hand on its clock. `stores` are gateways over one state: one in process, two or more on Redis,
each fresh, empty and started without its renewing task (or with one that will not wake during the test). Times are on
the store's clock, which only `move` changes. The state machine in tests/limit_machine.py runs over the same rigs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from gateway.state.limits.store import Kept
from policies.limits import Account, Ask, Denied, Granted, Kind, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.limits.store import LimitStore
    from policies.limits import Answer

START_S = 1_700_000_000.0
WINDOW_S = 64.0
TENANT = "acme"


class Rig(Protocol):
    """One state, the gateways on it and its clock."""

    stores: Sequence[LimitStore]

    @property
    def now(self) -> float:
        """Begins at START_S."""

    def move(self, seconds: float) -> None:
        """The clock goes on, or back."""

    async def renew(self, store: LimitStore) -> None:
        """What a gateway does every third of a lease: renews what it holds."""

    async def arrived(self) -> None:
        """Returns when every settlement and release so far has been carried out."""

    async def flush(self) -> None:
        """The state is lost, all of it; the gateways live on."""

    async def save(self) -> object:
        """The state as it is."""

    async def rewind(self, saved: object) -> None:
        """The state is again as it was saved: a failover to a replica that had not heard the rest."""


def rate(amount: int, name: str = "tokens", limit: int = 1000, per_s: float = 10.0) -> Ask:
    return Ask(name, Kind.RATE, amount, limit, per_s)


def at_once(amount: int = 1, limit: int = 2, name: str = "calls") -> Ask:
    return Ask(name, Kind.CONCURRENT, amount, limit)


def budget(amount: int, now: float, limit: int = 500, name: str = "budget") -> Ask:
    """Windows of WINDOW_S, in which START_S is the beginning of one."""
    begin_s = now - (now - START_S) % WINDOW_S
    return Ask(name, Kind.CALENDAR, amount, limit, 0.0, (begin_s, begin_s + WINDOW_S, begin_s + 2 * WINDOW_S))


def granted(answer: Answer) -> Granted:
    assert isinstance(answer, Granted), answer
    return answer


async def state(store: LimitStore, account: str, tenant: str = TENANT) -> Account | None:
    """The account; None where the store keeps none."""
    return {kept.account: kept.state for kept in await store.view([tenant])}.get(account)


async def used(store: LimitStore, account: str) -> float:
    kept = await state(store, account)
    return 0.0 if kept is None else kept.used


async def held(store: LimitStore, account: str) -> int:
    kept = await state(store, account)
    return 0 if kept is None else kept.held


class LimitStoreSuite:
    async def test_what_is_asked_for_is_held_and_then_used(self, rig: Rig) -> None:
        store = rig.stores[0]
        asks = (rate(300), at_once())
        answer = granted(await store.reserve(TENANT, "a", asks))
        assert [hold[:3] for hold in answer.holds] == [("tokens", Kind.RATE, 300), ("calls", Kind.CONCURRENT, 1)]
        assert answer.accounts == (Account(0.0, rig.now, 300), Account(0.0, 0.0, 1))
        store.settle(TENANT, "a", answer.holds, (120, 1))
        await rig.arrived()
        assert await state(store, "tokens") == Account(120.0, rig.now, 0)
        assert await held(store, "calls") == 0

    async def test_sixty_at_once_on_room_for_five_are_five_and_the_refused_change_nothing(self, rig: Rig) -> None:
        asks = (rate(1, "requests", limit=60), rate(200), at_once(limit=100))
        stores = rig.stores
        answers = await asyncio.gather(
            *(stores[i % len(stores)].reserve(TENANT, f"r{i}", asks) for i in range(60)),
        )
        refused = [answer for answer in answers if isinstance(answer, Denied)]
        assert len(refused) == 55
        assert {answer.short for answer in refused} == {(1,)}
        assert [await held(stores[0], name) for name in ("requests", "tokens", "calls")] == [5, 1000, 5]

    async def test_a_refusal_says_how_long_and_waiting_so_long_helps(self, rig: Rig) -> None:
        store = rig.stores[0]
        asks = (rate(700, per_s=3.0), rate(7, "slow", limit=10, per_s=0.7))
        answer = granted(await store.reserve(TENANT, "a", asks))
        store.settle(TENANT, "a", answer.holds, (700, 7))
        await rig.arrived()
        refused = await store.reserve(TENANT, "b", asks)
        assert isinstance(refused, Denied)
        assert refused.short == (0, 1)
        assert refused.wait_s is not None
        rig.move(refused.wait_s - 0.01)
        assert isinstance(await store.reserve(TENANT, "b", asks), Denied)
        rig.move(0.01)
        granted(await store.reserve(TENANT, "b", asks))

    async def test_a_refusal_for_calls_under_way_alone_promises_no_time(self, rig: Rig) -> None:
        store = rig.stores[0]
        for name in "ab":
            granted(await store.reserve(TENANT, name, (at_once(),)))
        refused = await store.reserve(TENANT, "c", (at_once(),))
        assert isinstance(refused, Denied)
        assert refused.wait_s is None

    async def test_asking_again_under_the_same_id_holds_nothing_more(self, rig: Rig) -> None:
        store = rig.stores[-1]
        asks = (rate(300), budget(100, rig.now), at_once())
        await store.hydrate(TENANT, "budget", START_S, 0)
        first = granted(await store.reserve(TENANT, "a", asks))
        assert granted(await store.reserve(TENANT, "a", asks)) == first
        store.settle(TENANT, "a", first.holds, (10, 20, 1))
        await rig.arrived()
        assert granted(await store.reserve(TENANT, "a", asks)).holds == first.holds
        assert [await held(store, name) for name in ("tokens", "budget", "calls")] == [0, 0, 0]

    async def test_only_the_first_settlement_counts(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(300), at_once())))
        granted(await store.reserve(TENANT, "b", (rate(50), at_once())))
        for actual in ((100, 1), (100, 1), (900, 1)):
            rig.stores[-1].settle(TENANT, "a", answer.holds, actual)
            await rig.arrived()
        assert await state(store, "tokens") == Account(100.0, rig.now, 50)
        assert await held(store, "calls") == 1

    async def test_a_settlement_without_particulars_gives_everything_back(self, rig: Rig) -> None:
        store = rig.stores[0]
        granted(await store.reserve(TENANT, "a", (rate(300), at_once())))
        store.settle(TENANT, "a", (), ())
        await rig.arrived()
        assert [await used(store, "tokens"), await held(store, "tokens"), await held(store, "calls")] == [0, 0, 0]

    async def test_an_upstream_that_counts_below_nothing_gives_nothing_back(self, rig: Rig) -> None:
        store = rig.stores[0]
        await store.hydrate(TENANT, "budget", START_S, 100)
        answer = granted(await store.reserve(TENANT, "a", (rate(300), budget(100, rig.now))))
        store.settle(TENANT, "a", answer.holds, (-5000, -5000))
        await rig.arrived()
        assert [await used(store, "tokens"), await used(store, "budget")] == [0, 100]

    async def test_an_overrun_is_charged_in_full(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(1000),)))
        store.settle(TENANT, "a", answer.holds, (1500,))
        await rig.arrived()
        refused = await store.reserve(TENANT, "b", (rate(0),))
        assert isinstance(refused, Denied)
        assert refused.accounts == (Account(1500.0, rig.now, 0),)

    async def test_a_released_call_leaves_its_place_and_keeps_its_tokens_until_they_are_counted(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(300), at_once())))
        granted(await store.reserve(TENANT, "b", (at_once(),)))
        for _ in range(2):
            store.release(TENANT, "a")
        await rig.arrived()
        assert [await held(store, "tokens"), await held(store, "calls")] == [300, 1]
        store.settle(TENANT, "a", answer.holds, (40, 1))
        await rig.arrived()
        assert [await used(store, "tokens"), await held(store, "tokens"), await held(store, "calls")] == [40, 0, 1]

    async def test_a_lease_that_ran_out_is_charged_in_full_and_a_late_count_corrects_money_only(self, rig: Rig) -> None:
        store = rig.stores[0]
        await store.hydrate(TENANT, "budget", START_S, 0)
        asks = (rate(300, per_s=1.0), budget(300, rig.now), at_once())
        answer = granted(await store.reserve(TENANT, "a", asks))
        rig.move(29.0)
        assert await held(store, "tokens") == 300
        rig.move(1.0)
        assert [await held(store, name) for name in ("tokens", "budget", "calls")] == [0, 0, 0]
        assert [await used(store, name) for name in ("tokens", "budget")] == [300, 300]
        store.settle(TENANT, "a", answer.holds, (40, 40, 1))
        await rig.arrived()
        assert [await used(store, name) for name in ("tokens", "budget")] == [300, 40]
        store.settle(TENANT, "a", answer.holds, (0, 0, 0))
        await rig.arrived()
        assert await used(store, "budget") == 40

    async def test_what_came_late_and_dearer_is_debited(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(300),)))
        rig.move(30.0)
        assert await used(store, "tokens") == 300
        store.settle(TENANT, "a", answer.holds, (450,))
        await rig.arrived()
        assert await used(store, "tokens") == 450

    async def test_a_renewed_lease_lives_on_and_a_lost_one_is_told(self, rig: Rig) -> None:
        store = rig.stores[0]
        lost: list[str] = []
        store.on_lost(lost.append)
        granted(await store.reserve(TENANT, "a", (rate(300),)))
        for _ in range(9):
            rig.move(10.0)
            await rig.renew(store)
        assert (await held(store, "tokens"), lost) == (300, [])
        rig.move(31.0)
        await rig.renew(store)
        assert (await held(store, "tokens"), lost) == (0, ["a"])

    async def test_a_settlement_of_what_was_lost_is_charged_and_keeps_a_late_reservation_out(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(300), at_once())))
        await rig.flush()
        granted(await store.reserve(TENANT, "b", (rate(50), at_once())))
        store.settle(TENANT, "a", answer.holds, (120, 1))
        await rig.arrived()
        assert await state(store, "tokens") == Account(120.0, rig.now, 50)
        granted(await store.reserve(TENANT, "a", (rate(300), at_once())))
        assert [await held(store, "tokens"), await held(store, "calls")] == [50, 1]

    async def test_what_a_budget_has_spent_is_asked_for_before_anything_is_held(self, rig: Rig) -> None:
        store = rig.stores[0]
        asks = (rate(300), budget(100, rig.now))
        assert await store.reserve(TENANT, "a", asks) == Unknown((1,))
        assert await held(store, "tokens") == 0
        await store.hydrate(TENANT, "budget", START_S, 450)
        await rig.stores[-1].hydrate(TENANT, "budget", START_S, 0)
        refused = await store.reserve(TENANT, "a", asks)
        assert isinstance(refused, Denied)
        assert (refused.short, refused.wait_s) == ((1,), WINDOW_S)
        granted(await store.reserve(TENANT, "b", (rate(300), budget(50, rig.now))))

    async def test_a_new_window_begins_with_what_is_held_and_is_not_charged_for_the_last(self, rig: Rig) -> None:
        store = rig.stores[0]
        await store.hydrate(TENANT, "budget", START_S, 400)
        answer = granted(await store.reserve(TENANT, "a", (budget(100, rig.now),)))
        late = budget(450, rig.now)  # by the clock of a caller that is behind
        for _ in range(3):
            rig.move(WINDOW_S / 3 + 1.0)
            await rig.renew(store)
        assert isinstance(await store.reserve(TENANT, "b", (late,)), Denied)
        second = granted(await store.reserve(TENANT, "c", (late._replace(amount=400),)))
        assert second.accounts == (Account(0.0, START_S + WINDOW_S, 500),)
        store.settle(TENANT, "a", answer.holds, (100,))
        await rig.arrived()
        assert await state(store, "budget") == Account(0.0, START_S + WINDOW_S, 400)

    async def test_a_caller_ahead_of_time_does_not_begin_the_next_window(self, rig: Rig) -> None:
        store = rig.stores[0]
        await store.hydrate(TENANT, "budget", START_S, 500)
        for ahead_s in (WINDOW_S, 100 * WINDOW_S):
            assert isinstance(await store.reserve(TENANT, "a", (budget(1, rig.now + ahead_s),)), Denied)
        rig.move(WINDOW_S)
        granted(await store.reserve(TENANT, "a", (budget(1, rig.now),)))

    async def test_a_clock_that_went_back_locks_nobody_out(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(1000),)))
        store.settle(TENANT, "a", answer.holds, (1000,))
        await rig.arrived()
        rig.move(-86_400.0)
        assert isinstance(await store.reserve(TENANT, "b", (rate(100),)), Denied)
        rig.move(10.0)
        granted(await store.reserve(TENANT, "b", (rate(100),)))

    async def test_a_changed_limit_keeps_what_is_used(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(600),)))
        store.settle(TENANT, "a", answer.holds, (600,))
        await rig.arrived()
        assert isinstance(await store.reserve(TENANT, "b", (rate(1, limit=600),)), Denied)
        rig.move(10.0)
        assert granted(await store.reserve(TENANT, "c", (rate(1000, limit=2000, per_s=20.0),))).accounts[0].used == 400

    async def test_tenants_are_strangers_to_each_other(self, rig: Rig) -> None:
        store = rig.stores[0]
        granted(await store.reserve(TENANT, "a", (rate(1000),)))
        granted(await store.reserve("other {acme}:x", "a", (rate(1000),)))
        answer = granted(await store.reserve(TENANT, "a", (rate(1000),)))
        store.settle(TENANT, "a", answer.holds, (5,))
        await rig.arrived()
        assert (await state(store, "tokens", "other {acme}:x")) == Account(0.0, rig.now, 1000)

    async def test_those_who_wait_hear_of_what_is_given_back(self, rig: Rig) -> None:
        store = rig.stores[0]
        freed: list[str] = []
        answer = granted(await store.reserve(TENANT, "a", (rate(10), at_once())))
        store.on_freed(freed.append)
        store.release(TENANT, "a")
        await rig.arrived()
        assert set(freed) == {TENANT}
        freed.clear()
        store.settle(TENANT, "a", answer.holds, (10, 1))
        await rig.arrived()
        assert set(freed) == {TENANT}

    async def test_large_amounts_are_kept_to_the_last_unit(self, rig: Rig) -> None:
        store = rig.stores[0]
        limit = 2**53 - 1
        await store.hydrate(TENANT, "budget", START_S, limit - 3)
        assert isinstance(await store.reserve(TENANT, "a", (budget(4, rig.now, limit),)), Denied)
        answer = granted(await store.reserve(TENANT, "b", (budget(3, rig.now, limit),)))
        store.settle(TENANT, "b", answer.holds, (3,))
        await rig.arrived()
        assert await used(store, "budget") == limit

    async def test_a_budget_that_is_still_as_it_was_seen_is_put_right(self, rig: Rig) -> None:
        store = rig.stores[0]
        await store.hydrate(TENANT, "budget", START_S, 400)
        (seen,) = await store.view([TENANT])
        assert seen == Kept(TENANT, "budget", Account(400.0, START_S, 0), Kind.CALENDAR)
        assert await rig.stores[-1].correct(seen, 100)
        assert await state(store, "budget") == Account(100.0, START_S, 0)
        assert isinstance(await store.reserve(TENANT, "a", (budget(401, rig.now),)), Denied)
        answer = granted(await store.reserve(TENANT, "b", (budget(400, rig.now),)))
        store.settle(TENANT, "b", answer.holds, (7,))
        await rig.arrived()
        assert await used(store, "budget") == 107

    async def test_a_budget_that_moved_since_it_was_seen_is_left_alone(self, rig: Rig) -> None:
        """Held by a call, used, put right by another gateway, in another window, or lost."""
        store, other = rig.stores[0], rig.stores[-1]
        await store.hydrate(TENANT, "budget", START_S, 100)
        (seen,) = await store.view([TENANT])
        answer = granted(await other.reserve(TENANT, "a", (budget(50, rig.now),)))
        assert not await store.correct(seen, 0)
        other.settle(TENANT, "a", answer.holds, (1,))
        await rig.arrived()
        assert not await store.correct(seen, 0)
        assert await state(store, "budget") == Account(101.0, START_S, 0)
        (seen,) = await store.view([TENANT])
        assert [await gateway.correct(seen, 90) for gateway in (other, store)] == [True, False]
        rig.move(WINDOW_S)
        (seen,) = await store.view([TENANT])
        other.settle(TENANT, "b", granted(await other.reserve(TENANT, "b", (budget(90, rig.now),))).holds, (90,))
        await rig.arrived()
        assert not await store.correct(seen, 0)
        assert await state(store, "budget") == Account(90.0, START_S + WINDOW_S, 0)
        await rig.flush()
        assert not await store.correct(seen, 0)
        assert await store.view([TENANT]) == []

    async def test_a_change_while_it_is_put_right_wins(self, rig: Rig) -> None:
        store, other = rig.stores[0], rig.stores[-1]
        await store.hydrate(TENANT, "budget", START_S, 100)
        for number in range(20):
            (seen,) = await store.view([TENANT])
            corrected, answer = await asyncio.gather(
                store.correct(seen, 30), other.reserve(TENANT, f"r{number}", (budget(5, rig.now),))
            )
            kept = await state(store, "budget")
            assert kept == Account(30.0 if corrected else seen.state.used, START_S, 5)
            other.settle(TENANT, f"r{number}", granted(answer).holds, (5,))
            await rig.arrived()
            assert await used(store, "budget") == kept.used + 5

    async def test_rates_are_not_put_right(self, rig: Rig) -> None:
        store = rig.stores[0]
        answer = granted(await store.reserve(TENANT, "a", (rate(300), at_once())))
        store.settle(TENANT, "a", answer.holds, (300, 1))
        await rig.arrived()
        kept = await store.view([TENANT])
        assert {one.account: one.kind for one in kept} == {"tokens": Kind.RATE, "calls": Kind.CONCURRENT}
        assert [await store.correct(one, 0) for one in kept] == [False, False]
        assert await used(store, "tokens") == 300

    async def test_a_lease_that_ran_out_unseen_is_charged_before_anything_is_put_right(self, rig: Rig) -> None:
        store = rig.stores[0]
        await store.hydrate(TENANT, "budget", START_S, 100)
        granted(await store.reserve(TENANT, "a", (budget(50, rig.now),)))
        (seen,) = await store.view([TENANT])
        rig.move(31.0)
        assert not await store.correct(seen, 0)
        assert await state(store, "budget") == Account(150.0, START_S, 0)
