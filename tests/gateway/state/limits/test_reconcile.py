from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.state.ledger.schema import LedgerError
from gateway.state.limits.in_process import InProcessLimitStore
from gateway.state.limits.reconcile import Drift, Reconciler
from gateway.state.limits.store import StoreUnavailable
from policies.limits import Account, Ask, Granted, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.state.limits.store import Kept

DAY_S = 1_795_305_600.0
NOW_S = DAY_S + 3600
LIMIT = 1_000_000
EDGES = (DAY_S, DAY_S + 86_400, DAY_S + 172_800)


class Books:
    """The ledger's charges. It knows nothing of rates."""

    def __init__(self, spent: dict[str, int]) -> None:
        self.amounts = spent

    async def spent_of(self, accounts: Sequence[tuple[str, float]]) -> list[int]:
        assert {window_start_s for _, window_start_s in accounts} == {DAY_S}
        return [self.amounts.get(account, 0) for account, _ in accounts]


@pytest.fixture
def store() -> InProcessLimitStore:
    return InProcessLimitStore(lambda: NOW_S)


async def budget(store: InProcessLimitStore) -> Account:
    return next(one.state for one in await store.view(["acme"]) if one.account == "budget:ci")


async def hold(store: InProcessLimitStore, reservation: str, amount: int) -> Granted:
    asks = [
        Ask("budget:ci", Kind.CALENDAR, amount, LIMIT, edges=EDGES),
        Ask("rate:ci", Kind.RATE, amount, LIMIT, rate_per_s=LIMIT / 60),
    ]
    granted = await store.reserve("acme", reservation, asks)
    assert isinstance(granted, Granted)
    return granted


async def use(store: InProcessLimitStore, amount: int) -> None:
    await store.hydrate("acme", "budget:ci", DAY_S, 0)
    granted = await hold(store, f"r{amount}", amount)
    store.settle("acme", f"r{amount}", granted.holds, [amount, amount])


async def test_a_store_that_agrees_has_no_drift_and_is_left_alone(store: InProcessLimitStore) -> None:
    await use(store, 100)
    books = Books({"acme|budget:ci": 100})
    reconciler = Reconciler(store, books.spent_of)
    for _ in range(3):
        assert await reconciler.compare(["acme"]) == Drift(compared=1)
    assert (await budget(store), reconciler.corrections) == (Account(100.0, DAY_S, 0), 0)


@pytest.mark.parametrize(("spent", "ratio"), [(80, 0.2), (125, 0.2), (0, 1.0)])
async def test_a_difference_that_stands_is_told_and_put_right(
    store: InProcessLimitStore, spent: int, ratio: float
) -> None:
    await use(store, 100)
    books = Books({"acme|budget:ci": spent})
    reconciler = Reconciler(store, books.spent_of)
    assert await reconciler.compare(["acme"]) == Drift(compared=1)
    assert await reconciler.compare(["acme"]) == Drift(1, 1, 100 - spent, ratio)
    assert (await budget(store), reconciler.corrections) == (Account(float(spent), DAY_S, 0), 1)
    assert await reconciler.compare(["acme"]) == Drift(compared=1)


async def test_what_moves_just_before_it_would_be_put_right_is_left_alone() -> None:
    class Busy(InProcessLimitStore):
        async def correct(self, kept: Kept, spent: int) -> bool:
            await use(self, 7)
            return await super().correct(kept, spent)

    store = Busy(lambda: NOW_S)
    await use(store, 100)
    reconciler = Reconciler(store, Books({}).spent_of)
    for _ in range(2):
        await reconciler.compare(["acme"])
    assert (await budget(store), reconciler.corrections) == (Account(107.0, DAY_S, 0), 0)


async def test_rows_on_their_way_are_no_drift(store: InProcessLimitStore) -> None:
    await use(store, 100)
    books = Books({"acme|budget:ci": 60})
    reconciler = Reconciler(store, books.spent_of)
    await reconciler.compare(["acme"])
    books.amounts["acme|budget:ci"] = 100
    assert await reconciler.compare(["acme"]) == Drift(compared=1)
    assert (await budget(store), reconciler.corrections) == (Account(100.0, DAY_S, 0), 0)


async def test_what_moves_is_not_compared(store: InProcessLimitStore) -> None:
    """Held by a call, or changed between two looks."""
    await use(store, 100)
    books = Books({})

    async def spent_while_used(accounts: Sequence[tuple[str, float]]) -> list[int]:
        await use(store, 7)
        return await books.spent_of(accounts)

    assert await Reconciler(store, spent_while_used).compare(["acme"]) == Drift()
    await hold(store, "under way", 1)
    assert await Reconciler(store, books.spent_of).compare(["acme"]) == Drift()


@pytest.mark.parametrize("error", [LedgerError("gone"), StoreUnavailable("gone"), RuntimeError("gone")])
async def test_a_round_that_fails_is_left_out(
    store: InProcessLimitStore, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.state.limits.reconcile.EVERY_S", 0.0)
    second_round = asyncio.Event()
    rounds: list[int] = []

    def tenants() -> Sequence[str]:
        rounds.append(1)
        if len(rounds) > 1:
            second_round.set()
        return ["acme"]

    async def fail(*_: object) -> list[int]:
        raise error

    await use(store, 100)
    running = asyncio.create_task(Reconciler(store, fail).run(tenants))
    await asyncio.wait_for(second_round.wait(), 5)
    running.cancel()
    assert "limits could not be held against the ledger: gone" in caplog.text
