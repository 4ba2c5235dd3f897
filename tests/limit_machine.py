"""Random histories of a limit store beside an exact model: what a fleet, its clocks and its failures can do to it.

    class RedisMachine(LimitMachine):
        async def open_rig(self) -> Rig: ...
        async def close_rig(self, rig: Rig) -> None: ...

    TestRedisHistories = RedisMachine.TestCase

`Rig` is that of tests/limit_store_suite.py. Each history opens one and runs in an event loop of its own. A gateway that
crashes is one that renews nothing more. Times are eighths of seconds and rates halves, so that doubles are exact.
"""

from __future__ import annotations

import asyncio
import copy
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from policies.limits import Ask, Denied, Granted, Hold, Kind, Unknown
from tests.limit_model import Kept, LimitModel, Part
from tests.limit_store_suite import START_S, TENANT, budget

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from policies.limits import Answer
    from tests.limit_store_suite import Rig

RATES = {"tokens": (Kind.RATE, 64, 2.0), "slow": (Kind.RATE, 10, 0.5)}
ACCOUNTS = (*RATES, "calls", "budget")

amounts = st.integers(1, 10) | st.integers(0, 64)
names_of_accounts = st.sets(st.sampled_from(ACCOUNTS), min_size=1) | st.just(set(ACCOUNTS))
waits = (st.integers(0, 8 * 12) | st.sampled_from([8 * 15, 8 * 30])).map(lambda eighth: Fraction(eighth, 8))
fortune = st.integers(0, 3).map(lambda number: number == 0)  # of what happens seldom


class LimitMachine(RuleBasedStateMachine):
    """One tenant with four accounts. `open_calls` maps what callers have not settled yet to what they were granted.

    `renews_what_it_finds`: whether a gateway renews whatever the state holds, as in process, or what it knows to hold.
    """

    renews_what_it_finds = False

    async def open_rig(self) -> Rig:
        raise NotImplementedError

    async def close_rig(self, rig: Rig) -> None:
        """Nothing to close in process."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.rig: Rig = self.run(self.open_rig())
        self.model = LimitModel(Fraction(START_S))
        self.limits = {"tokens": (64, 2.0), "slow": (10, 0.5), "calls": (3, 0.0), "budget": (100, 0.0)}
        self.most = dict(self.limits)
        self.open_calls: dict[str, tuple[int, Sequence[Hold]]] = {}
        self.closed_calls: dict[str, tuple[int, Sequence[Hold]]] = {}
        self.crashed: dict[str, int] = {}
        self.lost: list[str] = []
        self.losses: list[Fraction] = []
        self.saved: tuple[object, Kept] | None = None
        self.count = 0
        for store in self.rig.stores:
            store.on_lost(self.lost.append)

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(doing)

    def teardown(self) -> None:
        """T5: a lease after the last renewal, on whatever the clock was then, everything is given back."""
        if not hasattr(self, "rig"):
            return
        try:
            ends = [record.until_s for record in self.model.kept.reserved.values()]
            self.wait(max([self.model.now, *ends]) - self.model.now)
            self.look()
            assert [self.model.held_of(name) for name in ACCOUNTS] == [0, 0, 0, 0]
            self.check_rates()
            self.check_budget()
            self.run(self.close_rig(self.rig))
        finally:
            self.runner.close()

    # --- what gateways do ---

    @rule(gateway=st.integers(0, 7), sizes=st.lists(amounts, min_size=1, max_size=3))
    def reserve_several(self, gateway: int, sizes: list[int]) -> None:
        for amount in sizes:
            self.reserve(gateway, set(ACCOUNTS), amount)

    @rule(gateway=st.integers(0, 7), names=names_of_accounts, amount=amounts)
    def reserve(self, gateway: int, names: set[str], amount: int) -> None:
        self.count += 1
        self.ask(gateway % len(self.rig.stores), f"r{self.count}", self.asks(names, amount, Fraction(0)))

    @rule(behind=st.integers(-16, 16), amount=amounts)
    def reserve_with_a_clock_of_ones_own(self, behind: int, amount: int) -> None:
        self.count += 1
        self.ask(0, f"r{self.count}", self.asks({"budget", "tokens"}, amount, Fraction(behind * 8)))

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99))
    def reserve_again(self, pick: int) -> None:
        name, (gateway, holds) = self.pick(self.open_calls, pick)
        asks = [self.asks({hold.account}, hold.amount, Fraction(0))[0] for hold in holds]
        record = self.model.kept.reserved.get(name)
        if record and record.phase == "held" and all(self.model.is_kept(ask) for ask in asks):
            self.model.reap()
            answer = self.run(self.rig.stores[gateway].reserve(TENANT, name, asks))
            assert isinstance(answer, Granted)
            self.compare(asks, answer)

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99), eighth=st.integers(0, 8), beyond=st.sampled_from([0, 0, 0, 1, 40]))
    def settle(self, pick: int, eighth: int, beyond: int) -> None:
        name, (gateway, holds) = self.pick(self.open_calls, pick)
        if self.model.is_forgettable(name):
            return
        self.closed_calls[name] = self.open_calls.pop(name)
        self.do_settle(name, gateway, holds, [hold.amount * eighth // 8 + beyond for hold in holds])

    @precondition(lambda self: self.closed_calls)
    @rule(pick=st.integers(0, 99))
    def settle_again(self, pick: int) -> None:
        name, (gateway, holds) = self.pick(self.closed_calls, pick)
        record = self.model.kept.reserved.get(name)
        if record and record.phase == "settled" and not self.model.is_forgettable(name):
            self.do_settle(name, gateway, holds, [hold.amount for hold in holds])

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99))
    def disconnect(self, pick: int) -> None:
        name, (gateway, _) = self.pick(self.open_calls, pick)
        self.rig.stores[gateway].release(TENANT, name)
        self.run(self.rig.arrived())
        self.model.release(name)

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99))
    def crash(self, pick: int) -> None:
        """The call is never settled. It is renewed as long as its gateway lives."""
        name, (gateway, _) = self.pick(self.open_calls, pick)
        del self.open_calls[name]
        self.crashed[name] = gateway

    @rule(gateway=st.integers(0, 7))
    def renew(self, gateway: int) -> None:
        gateway %= len(self.rig.stores)
        self.run(self.rig.renew(self.rig.stores[gateway]))
        self.model.renew([name for name in self.model.kept.reserved if self.is_renewed(name, gateway)])
        assert set(self.lost) <= self.model.reaped

    @rule()
    def look(self) -> None:
        """Reaps, and compares every account."""
        self.model.reap()
        seen = {kept.account: kept.state for kept in self.run(self.rig.stores[-1].view([TENANT]))}
        for name in ACCOUNTS:
            ask = self.asks({name}, 0, Fraction(0))[0]
            expected = self.model.kept.accounts.get(name)
            if name not in seen:
                state = self.model.state(ask)
                assert state is None or state.used == state.held == 0 or self.model.is_over(ask), (name, state)
                continue
            assert expected is not None, (name, seen[name])
            assert (Fraction(seen[name].used), seen[name].held) == (expected.used, expected.held), (
                name,
                seen[name],
                expected,
            )
            assert self.model.held_of(name) == expected.held, name

    # --- what happens to them ---

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99), eighth=st.integers(0, 8), beyond=st.sampled_from([0, 0, 40]))
    def settle_late(self, pick: int, eighth: int, beyond: int) -> None:
        """No gateway renewed anything for a lease; then one comes back to life."""
        self.wait(Fraction(30))
        self.look()
        self.settle(pick, eighth, beyond)

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99), eighth=st.integers(0, 8), twice=st.booleans())
    def disconnect_and_settle(self, pick: int, eighth: int, *, twice: bool) -> None:
        self.disconnect(pick)
        self.settle(pick, eighth, 0)
        if twice and self.closed_calls:
            self.settle_again(len(self.closed_calls) - 1)
        self.look()

    @precondition(lambda self: self.open_calls)
    @rule(pick=st.integers(0, 99))
    def disconnect_and_vanish(self, pick: int) -> None:
        """Its lease runs out while another call has taken its place."""
        self.disconnect(pick)
        self.wait(Fraction(16))
        self.reserve(0, {"calls"}, 1)
        self.wait(Fraction(14))
        self.look()

    @rule(seconds=waits)
    def wait(self, seconds: Fraction) -> None:
        self.rig.move(float(seconds))
        self.model.move(seconds)

    @rule(eighth=st.sampled_from([-8 * 200, -8 * 64, -8, -1, 8 * 40, 8 * 64, 8 * 1000]), really=fortune)
    def clock_jumps(self, eighth: int, *, really: bool) -> None:
        if not really:
            return
        if eighth < 0:  # of an account that has drained stores may know nothing or the last use: let all know the same
            for name in RATES:
                self.reserve(0, {name}, 0)
        self.wait(Fraction(eighth, 8))

    @rule(name=st.sampled_from(ACCOUNTS), half=st.integers(1, 4))
    def limit_changes(self, name: str, half: int) -> None:
        amount, per_s = self.most[name]
        self.limits[name] = (max(1, amount * half // 4), per_s)

    @rule(really=fortune)
    def flush(self, *, really: bool) -> None:
        if not really:
            return
        self.run(self.rig.flush())
        self.model.kept = Kept()
        self.losses.append(self.model.flow_s)
        self.saved = None

    @rule()
    def save(self) -> None:
        self.saved = (self.run(self.rig.save()), copy.deepcopy(self.model.kept))

    @precondition(lambda self: self.saved is not None)
    @rule(really=fortune)
    def fail_over(self, *, really: bool) -> None:
        """The last operations are lost, back to where the replica was."""
        assert self.saved is not None
        if not really:
            return
        self.run(self.rig.rewind(self.saved[0]))
        self.model.kept = copy.deepcopy(self.saved[1])
        self.losses.append(self.model.flow_s)

    # --- how it is done and checked ---

    @staticmethod
    def pick(calls: dict[str, tuple[int, Sequence[Hold]]], number: int) -> tuple[str, tuple[int, Sequence[Hold]]]:
        name = list(calls)[number % len(calls)]
        return name, calls[name]

    def is_renewed(self, name: str, gateway: int) -> bool:
        made = self.open_calls[name][0] if name in self.open_calls else self.crashed.get(name)
        return self.renews_what_it_finds or made == gateway

    def asks(self, names: set[str], amount: int, ahead_s: Fraction) -> list[Ask]:
        asks = []
        for name in sorted(names):
            limit, per_s = self.limits[name]
            if name == "budget":
                asks.append(budget(min(amount, limit), float(self.model.now + ahead_s), limit))
            elif name == "calls":
                asks.append(Ask(name, Kind.CONCURRENT, min(amount, 1), limit))
            else:
                asks.append(Ask(name, Kind.RATE, min(amount, limit), limit, per_s))
        return asks

    def ask(self, gateway: int, name: str, asks: list[Ask]) -> None:
        """Reserves; where a budget is not known, tells the store what was spent and asks once more."""
        self.model.reap()
        answer: Answer = self.run(self.rig.stores[gateway].reserve(TENANT, name, asks))
        unknown = [i for i, ask in enumerate(asks) if self.model.state(ask) is None]
        if isinstance(answer, Unknown):
            assert set(unknown) <= set(answer.asks)
            for i in answer.asks:
                assert i in unknown or self.model.is_over(asks[i]), (asks[i], self.model.kept.accounts, self.model.now)
                window_s = asks[i].edges[0]
                used = self.model.hydrate(asks[i], Fraction(window_s))
                self.run(self.rig.stores[gateway].hydrate(TENANT, "budget", window_s, used))
            answer = self.run(self.rig.stores[gateway].reserve(TENANT, name, asks))
        else:
            assert not unknown, (answer, self.model.now)
        short = self.model.short(asks)
        if short:
            assert isinstance(answer, Denied), answer
            assert list(answer.short) == short
            assert (answer.wait_s is None) == all(asks[i].kind == Kind.CONCURRENT for i in short)
            self.compare(asks, answer)
            self.model.refuse(asks)
        else:
            assert isinstance(answer, Granted), answer
            self.model.hold(name, asks)
            self.compare(asks, answer)
            self.open_calls[name] = (gateway, answer.holds)

    def compare(self, asks: Sequence[Ask], answer: Granted | Denied) -> None:
        for ask, account in zip(asks, answer.accounts, strict=True):
            state = self.model.state(ask)
            assert state is not None
            assert (Fraction(account.used), account.held) == (state.used, state.held), (ask, account, state)
            assert ask.kind == Kind.CONCURRENT or Fraction(account.at_s) == state.at_s, (ask, account, state)

    def do_settle(self, name: str, gateway: int, holds: Sequence[Hold], actual: list[int]) -> None:
        self.rig.stores[gateway].settle(TENANT, name, holds, actual)
        self.run(self.rig.arrived())
        parts = [Part(h.account, h.kind, h.amount, Fraction(h.rate_per_s), Fraction(h.window_s)) for h in holds]
        self.model.settle(name, parts, actual)

    def check_rates(self) -> None:
        """T1 and T6: in any interval no more than the limit, what drained, overruns, and a limit for each loss."""
        for name in RATES:
            limit, per_s = self.most[name]
            charges = self.model.charges.get(name, [])
            for i, first in enumerate(charges):
                total = 0
                for last in charges[i:]:
                    total += last.amount - last.beyond
                    losses = sum(first.flow_s <= loss <= last.flow_s for loss in self.losses)
                    bound = limit * (1 + 2 * losses) + Fraction(per_s) * (last.flow_s - first.flow_s)
                    assert total <= bound, (name, first, last, total, bound)

    def check_budget(self) -> None:
        """T2 and T6: in any window no more than the limit and overruns, where the store lost nothing."""
        if not self.losses:
            for (name, window_s), rows in self.model.spent.items():
                overruns = 40 * len(rows)
                assert sum(rows.values()) <= self.most[name][0] + overruns, (name, window_s)


LimitMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=50, deadline=None)
