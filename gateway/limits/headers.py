"""What callers are told of their limits with every answer: OpenAI's `x-ratelimit-*` and IETF's `RateLimit`.

IETF: draft-ietf-httpapi-ratelimit-headers-11 (2026-05); names are structured-field strings. A call tells only of the
limits that it came under, and of amounts only what its own holders have left.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from policies.limits import Kind, reset_s
from policies.vocabulary import Period, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.limits.plans import Term
    from policies.limits import Account, Ask

NANOUSD_PER_UNIT: Final = 1000  # told in micro-USD: structured fields hold no more than 15 digits
INTEGER_MAX: Final = 999_999_999_999_999
UNITS: Final = {
    Resource.REQUESTS: "requests",
    Resource.TOKENS: "tokens",
    Resource.INPUT_TOKENS: "input-tokens",
    Resource.OUTPUT_TOKENS: "output-tokens",
    Resource.CONCURRENT: "concurrent-requests",
    Resource.COST: "micro-usd",
}
FAMILIES: Final = {
    Resource.REQUESTS: "requests",
    Resource.TOKENS: "tokens",
    Resource.INPUT_TOKENS: "tokens",
    Resource.OUTPUT_TOKENS: "tokens",
}
"""Which of OpenAI's two headers tells of a resource."""
_RATE, _CONCURRENT = Kind.RATE, Kind.CONCURRENT  # reading a member costs more than comparing it
WINDOWS_S: Final = {Period.DAY: 86_400, Period.WEEK: 604_800, Period.MONTH: None}


class LimitWords:
    """The headers of calls under one set of limits, all but their numbers ready."""

    __slots__ = ("_policy", "_shapes")

    def __init__(self, terms: Sequence[Term]) -> None:
        self._policy = ", ".join(map(policy_item, terms))
        self._shapes = [_shape(term) for term in terms]

    def pairs(self, asks: Sequence[Ask], accounts: Sequence[Account], now: float) -> list[tuple[str, str]]:
        """Names and values. `asks` and `accounts` are in the order of the terms."""
        items, tightest = self._told(asks, accounts, now)
        found = [("ratelimit-policy", self._policy), ("ratelimit", items)]
        for family, (left, amount, wait_s) in tightest.items():
            found += (
                (f"x-ratelimit-limit-{family}", str(amount)),
                (f"x-ratelimit-remaining-{family}", str(left)),
                (f"x-ratelimit-reset-{family}", go_duration(wait_s)),
            )
        return found

    def lines(self, asks: Sequence[Ask], accounts: Sequence[Account], now: float) -> str:
        """`pairs` as they stand in a head, which most answers need and which takes half the time."""
        items, tightest = self._told(asks, accounts, now)
        lines = f"ratelimit-policy: {self._policy}\r\nratelimit: {items}\r\n"
        for family, (left, amount, wait_s) in tightest.items():
            lines += (
                f"x-ratelimit-limit-{family}: {amount}\r\nx-ratelimit-remaining-{family}: {left}\r\n"
                f"x-ratelimit-reset-{family}: {go_duration(wait_s)}\r\n"
            )
        return lines

    def _told(
        self, asks: Sequence[Ask], accounts: Sequence[Account], now: float
    ) -> tuple[str, dict[str, tuple[int, int, float]]]:
        """IETF's items, and for each of OpenAI's families what is left, the limit and the wait of the tightest."""
        tightest: dict[str, tuple[int, int, float]] = {}
        items = []
        for (start, kind, unit, family), ask, account in zip(self._shapes, asks, accounts, strict=True):
            used, _, held = account
            amount = ask.limit
            left = int(amount - used - held)
            left = max(left, 0)
            wait_s = (used + held) / ask.rate_per_s if kind == _RATE else reset_s(ask, account, now)
            shown = min(INTEGER_MAX, left // unit)
            items.append(f"{start}{shown}" if kind == _CONCURRENT else f"{start}{shown};t={ceil(wait_s)}")
            if family is not None and (family not in tightest or left < tightest[family][0]):
                tightest[family] = left, amount, wait_s
        return ", ".join(items), tightest


def _shape(term: Term) -> tuple[str, Kind, int, str | None]:
    """An item's beginning, how its account counts, what its numbers are told in, and its family."""
    resource = term.limit.resource
    unit = NANOUSD_PER_UNIT if resource is Resource.COST else 1
    return f"{quoted(term.limit.id)};r=", term.kind, unit, FAMILIES.get(resource)


def policy_item(term: Term) -> str:
    """One limit as the policy header names it: quota, window in seconds, unit. Months differ: theirs has none."""
    limit = term.limit
    window = WINDOWS_S[limit.window] if isinstance(limit.window, Period) else limit.window
    width = "" if window is None else f";w={max(1, ceil(window))}"
    return f'{quoted(limit.id)};q={_shown(term, limit.amount)}{width};qu="{UNITS[limit.resource]}"'


def quoted(text: str) -> str:
    """A structured-field string (RFC 9651): printable ASCII, with quotes and backslashes escaped."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def go_duration(seconds: float) -> str:
    """As Go writes durations, in whole milliseconds, rounded up: `59ms`, `1s`, `7.66s`, `6m0s`, `1h0m0s`."""
    ms = ceil(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms" if ms > 0 else "0s"
    whole_s, ms = divmod(ms, 1000)
    minutes, rest_s = divmod(whole_s, 60)
    last = f"{rest_s}.{ms:03d}".rstrip("0") if ms else str(rest_s)
    if not minutes:
        return f"{last}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{last}s" if hours else f"{minutes}m{last}s"


def _shown(term: Term, amount: int) -> int:
    if term.limit.resource is Resource.COST:
        amount //= NANOUSD_PER_UNIT
    return min(INTEGER_MAX, amount)
