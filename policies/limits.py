"""Limits that cannot be overshot: reserve before the call, settle after it, and never count what is held as used.

An account is one holder's state under one limit. `used` is settled use only: under a rate it drains away steadily,
under a calendar period it starts again at zero with each window. `held` is what reservations may still come to use. A
reservation is granted where used + held + amount <= limit for every account it asks for, and changes nothing otherwise.
So held never exceeds a limit, and what settles in any interval is at most limit + refill + overruns: while reservations
are held, draining `used` gives out only what no earlier call can claim any more. Deducting up front and refunding
later, the usual way, breaks this bound, since the refund of old tokens arrives on top of a bucket that has refilled.

Clocks jump. Where the store's went back, what is used stays used and drains on from the earlier time: waiting for the
clock to catch up would lock a full account for as long as the jump was. No caller's clock moves a calendar account into
a window that the store's clock has not reached.

The functions are one half of two stores: in process they run as they are, in Redis as a script which computes the same
doubles in the same order. Times are seconds since the epoch on the store's clock.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT_MAX: Final = 2**53
"""Beyond this a double no longer holds every whole number; amounts and limits stay below."""

TICK_S: Final = 1e-6
"""What stores' clocks resolve. A wait is longer by it, so that rounding refuses nobody who waited as long as told."""


class Kind(IntEnum):
    """How an account counts."""

    RATE = 0  # `used` drains at `rate_per_s`
    CALENDAR = 1  # `used` counts in the window that began at `at_s`
    CONCURRENT = 2  # only `held` counts


class Ask(NamedTuple):
    """One account's part of a reservation. `edges` (CALENDAR) are where this window begins, the next one begins and
    that one ends: the store picks by its own clock which of the two it is in. Wants 0 <= amount <= limit < EXACT_MAX.
    The accounts of one reservation differ.
    """

    account: str
    kind: Kind
    amount: int
    limit: int
    rate_per_s: float = 0.0
    edges: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Account(NamedTuple):
    """One holder's state under one limit; `at_s` is when `used` was right (RATE) or where its window began."""

    used: float = 0.0
    at_s: float = 0.0
    held: int = 0


class Hold(NamedTuple):
    """What a reservation holds of one account. `window_s` is the calendar window it was granted in, and charges."""

    account: str
    kind: Kind
    amount: int
    rate_per_s: float = 0.0
    window_s: float = 0.0


class Phase(IntEnum):
    """Where a reservation stands. REAPED: its lease ran out and it was charged in full; MISSING: the store lost it."""

    HELD = 0
    SETTLED = 1
    REAPED = 2
    MISSING = 3


class Granted(NamedTuple):
    """Held. `accounts` are the states after it, in the order of the asks."""

    holds: tuple[Hold, ...]
    accounts: tuple[Account, ...]


class Denied(NamedTuple):
    """Nothing changed. `short` are the indexes of the asks that do not fit, `accounts` the states as of now.

    `wait_s` is how long until all of them would fit if what is held came to be used now and nothing else happened; None
    where that depends only on calls that are under way. A store writes those states (and only those) whose `at_s` went
    back, or a refused account would never begin to drain again.
    """

    short: tuple[int, ...]
    accounts: tuple[Account, ...]
    wait_s: float | None


class Unknown(NamedTuple):
    """Nothing changed: what was used in the calendar windows of these asks must be looked up first."""

    asks: tuple[int, ...]


Answer = Granted | Denied | Unknown

# Reading a member of an enum costs more than comparing it, and these are compared for every account of every call.
_RATE, _CALENDAR, _CONCURRENT = Kind
_HELD, _SETTLED, _REAPED = Phase.HELD, Phase.SETTLED, Phase.REAPED


def reserve(asks: Sequence[Ask], accounts: Sequence[Account | None], now: float) -> Answer:
    """Hold all that is asked for, or nothing. `accounts` are the states before, None where the store has none."""
    current: list[Account] = []
    unknown: list[int] = []
    short: list[int] = []
    for index, ask in enumerate(asks):
        account = as_of(accounts[index], ask, now)
        if account is None:
            unknown.append(index)
            continue
        current.append(account)
        used, _, held = account
        if used + held + ask.amount > ask.limit:
            short.append(index)
    if unknown:
        return Unknown(tuple(unknown))
    if short:
        return Denied(tuple(short), tuple(current), _wait_s(asks, current, short, now))
    holds = []
    for index, ask in enumerate(asks):
        used, at_s, held = current[index]
        current[index] = account = Account(used, at_s, held + ask.amount)
        holds.append(hold_of(ask, account))
    return Granted(tuple(holds), tuple(current))


def hold_of(ask: Ask, account: Account) -> Hold:
    """What a granted ask holds of an account, which is as of now."""
    name, kind, amount, _, rate_per_s, _ = ask
    return Hold(name, kind, amount, rate_per_s, account.at_s if kind == _CALENDAR else 0.0)


def as_of(account: Account | None, ask: Ask, now: float) -> Account | None:
    """The account at `now`; None for a calendar account of which nothing is known."""
    if ask.kind == _RATE:
        return Account(0.0, now, 0) if account is None else drained(account, ask.rate_per_s, now)
    if ask.kind == _CONCURRENT:
        return account or Account()
    return None if account is None else in_window(account, ask, now)


def drained(account: Account, rate_per_s: float, now: float) -> Account:
    used, at_s, held = account
    if used and now > at_s:
        used = max(0.0, used - (now - at_s) * rate_per_s)
    return Account(used, now, held)


def in_window(account: Account, ask: Ask, now: float) -> Account:
    """The calendar account in the window that `now` lies in, which begins with nothing used."""
    _, next_s, _ = ask.edges
    window_s = window_of(ask, now)
    if account.at_s < window_s <= now:
        return Account(0.0, window_s, account.held)
    if now < account.at_s and next_s < account.at_s:  # beyond the next window: the store's clock was far ahead
        return Account(account.used, window_s, account.held)
    return account


def window_of(ask: Ask, now: float) -> float:
    """Where the calendar window begins that `now` lies in."""
    return ask.edges[0] if now < ask.edges[1] else ask.edges[1]


def settle(account: Account | None, hold: Hold, actual: int, phase: Phase, now: float) -> Account | None:
    """The account after a reservation in `phase` turned out to have used `actual` of it; None leaves it unknown.

    After a reap money is corrected both ways, while a rate is only debited: tokens given back to a bucket that has
    refilled meanwhile would come on top of its capacity. A window that is over is not charged: the ledger has it.
    """
    if account is None and hold.kind == _RATE:
        account = Account(0.0, now, 0)
    if account is None or phase == _SETTLED:
        return account
    _, kind, amount, rate_per_s, window_s = hold
    used, at_s, held = drained(account, rate_per_s, now) if kind == _RATE else account
    charge = max(actual, 0)
    if phase == _HELD:
        held = max(held - amount, 0)
    elif phase == _REAPED:
        charge -= amount
    if kind == _RATE:
        used += max(charge, 0)
    elif kind == _CALENDAR and at_s == window_s:
        used = max(used + charge, 0.0)
    return Account(used, at_s, held)


def reap(account: Account | None, hold: Hold, now: float) -> Account | None:
    """The account after the lease of a reservation ran out: nobody knows what was used, so all of it is charged."""
    return settle(account, hold, hold.amount, Phase.HELD, now)


def remaining(ask: Ask, account: Account) -> int:
    """What is left to be reserved under this limit."""
    return max(0, int(ask.limit - account.used - account.held))


def reset_s(ask: Ask, account: Account, now: float) -> float:
    """Seconds until all of the limit is there again, if everything held came to be used."""
    if ask.kind == _RATE:
        return (account.used + account.held) / ask.rate_per_s
    if ask.kind == _CALENDAR:
        return max(0.0, (ask.edges[1] if now < ask.edges[1] else ask.edges[2]) - now)
    return 0.0


def _wait_s(asks: Sequence[Ask], accounts: Sequence[Account], short: Sequence[int], now: float) -> float | None:
    waits = [wait for i in short if (wait := _wait_for(asks[i], accounts[i], now)) is not None]
    return max(waits) if waits else None


def _wait_for(ask: Ask, account: Account, now: float) -> float | None:
    if ask.kind == _RATE:
        return (account.used + account.held + ask.amount - ask.limit) / ask.rate_per_s + TICK_S
    return reset_s(ask, account, now) if ask.kind == _CALENDAR else None
