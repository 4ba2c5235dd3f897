"""What limit stores must answer, told again in fractions: slow, exact, and in other words than policies/limits.py.

Besides the state it keeps what really happened (every charge, every window's sum), which no store loss touches: the
theorem's bounds are checked against that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from policies.limits import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from policies.limits import Ask

LEASE_S = 30
WINDOW_S = 64


@dataclass
class State:
    """`was_over`: the window it is in was over by the store's clock once, with nothing held."""

    used: Fraction
    at_s: Fraction
    held: int = 0
    was_over: bool = False


class Part(NamedTuple):
    account: str
    kind: Kind
    amount: int
    rate: Fraction
    window_s: Fraction


@dataclass
class Reserved:
    parts: list[Part]
    until_s: Fraction
    phase: str = "held"
    left: bool = False
    ended_flow_s: Fraction = Fraction(0)


class Charge(NamedTuple):
    """One charge of a rate. `flow_s` is how far the clock has gone forward; `beyond` is what no reservation covered."""

    flow_s: Fraction
    amount: int
    beyond: int


@dataclass
class Kept:
    """What a store keeps, and may lose."""

    accounts: dict[str, State] = field(default_factory=dict)
    reserved: dict[str, Reserved] = field(default_factory=dict)


@dataclass
class LimitModel:
    now: Fraction
    kept: Kept = field(default_factory=Kept)
    flow_s: Fraction = Fraction(0)
    charges: dict[str, list[Charge]] = field(default_factory=dict)
    spent: dict[tuple[str, Fraction], dict[str, int]] = field(default_factory=dict)
    reaped: set[str] = field(default_factory=set)

    def move(self, seconds: Fraction) -> None:
        for state in self.kept.accounts.values():
            state.was_over |= state.held == 0 and state.at_s + WINDOW_S <= self.now
        self.now += seconds
        self.flow_s += max(seconds, Fraction(0))

    def state(self, ask: Ask) -> State | None:
        """The account as it is now, which is not kept so."""
        kept = self.kept.accounts.get(ask.account)
        if ask.kind == Kind.CALENDAR:
            return None if kept is None else self._in_window(kept, ask)
        if kept is None:
            return State(Fraction(0), self.now if ask.kind == Kind.RATE else Fraction(0))
        return self._drained(kept, Fraction(ask.rate_per_s)) if ask.kind == Kind.RATE else kept

    def is_over(self, ask: Ask) -> bool:
        """Whether a store may have forgotten this budget's account, since nothing of it is in force."""
        kept = self.kept.accounts[ask.account]
        return kept.was_over or (kept.held == 0 and kept.at_s + WINDOW_S <= self.now)

    def is_kept(self, ask: Ask) -> bool:
        return self.state(ask) is not None and not (ask.kind == Kind.CALENDAR and self.is_over(ask))

    def short(self, asks: Sequence[Ask]) -> list[int]:
        """Which of them do not fit; all of them are known."""
        states = [self.state(ask) for ask in asks]
        return [
            i
            for i, (ask, state) in enumerate(zip(asks, states, strict=True))
            if state and state.used + state.held + ask.amount > ask.limit
        ]

    def hold(self, reservation: str, asks: Sequence[Ask]) -> None:
        parts = []
        for ask in asks:
            state = self.state(ask)
            assert state is not None
            self.kept.accounts[ask.account] = State(state.used, state.at_s, state.held + ask.amount)
            window_s = state.at_s if ask.kind == Kind.CALENDAR else Fraction(0)
            parts.append(Part(ask.account, ask.kind, ask.amount, Fraction(ask.rate_per_s), window_s))
        self.kept.reserved[reservation] = Reserved(parts, self.now + LEASE_S)

    def refuse(self, asks: Sequence[Ask]) -> None:
        """A refusal changes nothing, except that an account from before the clock went back goes on from here."""
        for ask in asks:
            kept, state = self.kept.accounts.get(ask.account), self.state(ask)
            if kept and state and state.at_s < kept.at_s:
                self.kept.accounts[ask.account] = state

    def settle(self, reservation: str, parts: Sequence[Part], actual: Sequence[int]) -> None:
        record = self.kept.reserved.get(reservation)
        if record and record.phase != "held" and record.until_s <= self.now:
            record = None
        phase = record.phase if record else "missing"
        if phase == "settled":
            return
        for part, used in zip(record.parts if record else parts, actual, strict=True):
            self._charge(reservation, part, used, phase, left=bool(record and record.left))
        self._end(reservation, list(parts), "settled")

    def release(self, reservation: str) -> None:
        record = self.kept.reserved.get(reservation)
        if record and record.phase == "held" and not record.left:
            record.left = True
            for part in record.parts:
                if part.kind == Kind.CONCURRENT:
                    self.kept.accounts[part.account].held -= part.amount

    def reap(self) -> None:
        due = [(r.until_s, name) for name, r in self.kept.reserved.items() if r.phase == "held"]
        for until_s, name in sorted(due):
            if until_s <= self.now:
                record = self.kept.reserved[name]
                for part in record.parts:
                    self._charge(name, part, part.amount, "held", left=record.left)
                self._end(name, record.parts, "reaped")
                self.reaped.add(name)

    def renew(self, reservations: Iterable[str]) -> None:
        self.reap()
        for name in reservations:
            record = self.kept.reserved.get(name)
            if record and record.phase == "held":
                record.until_s = self.now + LEASE_S

    def hydrate(self, ask: Ask, window_s: Fraction) -> int:
        """Begins the account at what was really spent, and says how much that is."""
        total = self.spent_in(ask.account, window_s)
        self.kept.accounts[ask.account] = State(Fraction(total), window_s)
        return total

    def spent_in(self, account: str, window_s: Fraction) -> int:
        return sum(self.spent.get((account, window_s), {}).values())

    def held_of(self, account: str) -> int:
        """What the reservations say that is held, apart from what the account says."""
        held = [r for r in self.kept.reserved.values() if r.phase == "held"]
        return sum(
            part.amount
            for record in held
            for part in record.parts
            if part.account == account and not (record.left and part.kind == Kind.CONCURRENT)
        )

    def is_forgettable(self, reservation: str) -> bool:
        """Whether stores may differ in what they know: a clock went back, and it ended a lease ago on some clock."""
        record = self.kept.reserved.get(reservation)
        if record is None or record.phase == "held":
            return False
        return record.until_s <= self.now or self.flow_s - record.ended_flow_s >= LEASE_S

    def _end(self, reservation: str, parts: list[Part], phase: str) -> None:
        self.kept.reserved[reservation] = Reserved(parts, self.now + LEASE_S, phase, ended_flow_s=self.flow_s)

    def _charge(self, reservation: str, part: Part, used: int, phase: str, *, left: bool) -> None:
        state = self.kept.accounts.get(part.account)
        if part.kind == Kind.RATE:
            state = self._drained(state or State(Fraction(0), self.now), part.rate)
            charge = max(0, used - part.amount) if phase == "reaped" else used
            state.used += charge
            covered = min(charge, part.amount) if phase == "held" else 0
            self.charges.setdefault(part.account, []).append(Charge(self.flow_s, charge, charge - covered))
            self.kept.accounts[part.account] = state
        elif part.kind == Kind.CALENDAR:
            self.spent.setdefault((part.account, part.window_s), {})[reservation] = used
            if state and state.at_s == part.window_s:
                state.used = max(Fraction(0), state.used + used - (part.amount if phase == "reaped" else 0))
        if state and phase == "held" and not (left and part.kind == Kind.CONCURRENT):
            state.held = max(0, state.held - part.amount)

    def _drained(self, state: State, rate: Fraction) -> State:
        elapsed_s = max(Fraction(0), self.now - state.at_s)
        return State(max(Fraction(0), state.used - elapsed_s * rate), self.now, state.held)

    def _window_s(self, ask: Ask) -> Fraction:
        first, second, _ = ask.edges
        return Fraction(second if self.now >= second else first)

    def _in_window(self, kept: State, ask: Ask) -> State:
        window_s = self._window_s(ask)
        if kept.at_s > max(self.now, Fraction(ask.edges[1])):
            return State(kept.used, window_s, kept.held)
        if kept.at_s < window_s <= self.now:
            return State(Fraction(0), window_s, kept.held)
        return kept
