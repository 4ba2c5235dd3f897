"""The usual answers of `policies.limits` in one pass: all that is asked for is granted, all that is held is settled.

The model goes step by step, and makes values on the way that nobody keeps; of every call under a limit that would be a
good part of the cost. Here the same doubles are computed in the same order. What is not usual is left to the model, and
a property test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.limits import Account, Granted, Hold, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policies.limits import Ask

# Each is used several times per call: a member of an enum is slow to look up, a named tuple's own constructor to call.
_RATE: Final = Kind.RATE
_CALENDAR: Final = Kind.CALENDAR
_new: Final = tuple.__new__


def granted(asks: Sequence[Ask], accounts: Mapping[str, Account], now: float) -> Granted | None:
    """The model's grant; None where it would say something else, or begin a window. `accounts` are by name."""
    holds, after = [], []
    for name, kind, amount, limit, rate_per_s, edges in asks:
        window_s = 0.0
        if name in accounts:
            used, at_s, held = accounts[name]
        elif kind == _CALENDAR:
            return None
        else:
            used, at_s, held = 0.0, 0.0, 0
        if kind == _RATE:
            if used and now > at_s:
                used = max(0.0, used - (now - at_s) * rate_per_s)
            at_s = now
        elif kind == _CALENDAR:
            window_s = edges[0] if now < edges[1] else edges[1]
            if at_s != window_s:
                return None
        if used + held + amount > limit:
            return None
        holds.append(_new(Hold, (name, kind, amount, rate_per_s, window_s)))
        after.append(_new(Account, (used, at_s, held + amount)))
    return Granted(tuple(holds), tuple(after))


def settled(
    holds: Sequence[Hold], actual: Sequence[int], accounts: Mapping[str, Account], now: float
) -> list[Account] | None:
    """The accounts of these holds after they came to `actual`; None where one of them is not known."""
    after = []
    for (name, kind, amount, rate_per_s, window_s), charge in zip(holds, actual, strict=True):
        if name not in accounts:
            return None
        used, at_s, held = accounts[name]
        held = held - amount if held > amount else 0
        if kind == _RATE:
            if used and now > at_s:
                used = max(0.0, used - (now - at_s) * rate_per_s)
            at_s = now
            if charge > 0:
                used += charge
        elif kind == _CALENDAR and at_s == window_s and charge > 0:
            used += charge
        after.append(_new(Account, (used, at_s, held)))
    return after
