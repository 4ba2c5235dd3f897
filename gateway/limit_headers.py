"""What callers are told of their limits with every answer: OpenAI's `x-ratelimit-*` and IETF's `RateLimit`.

IETF: draft-ietf-httpapi-ratelimit-headers-11 (2026-05); names are structured-field strings. A call tells only of the
limits that it came under, and of amounts only what its own holders have left.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from policies.limits import Kind, remaining, reset_s
from policies.vocabulary import Period, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.limit_plans import Term
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
WINDOWS_S: Final = {Period.DAY: 86_400, Period.WEEK: 604_800, Period.MONTH: None}


class LimitWords:
    """The headers of calls under one set of limits, all but their numbers ready."""

    __slots__ = ("_ietf", "_policy", "_terms")

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = tuple((term, FAMILIES.get(term.limit.resource)) for term in terms)
        self._policy = ", ".join(map(policy_item, terms))
        self._ietf = tuple(f"{quoted(term.limit.id)};r=" for term in terms)

    def pairs(self, asks: Sequence[Ask], accounts: Sequence[Account], now: float) -> list[tuple[str, str]]:
        """Names and values. `asks` and `accounts` are in the order of the terms."""
        tightest: dict[str, tuple[int, int, float]] = {}
        items = []
        for number, (term, family) in enumerate(self._terms):
            account = accounts[number]
            left = remaining(asks[number], account)
            wait_s = reset_s(asks[number], account, now)
            items.append(_item(self._ietf[number], term, left, wait_s))
            if family is not None and (family not in tightest or left < tightest[family][0]):
                tightest[family] = left, term.limit.amount, wait_s
        found = [("ratelimit-policy", self._policy), ("ratelimit", ", ".join(items))]
        for family, (left, amount, wait_s) in tightest.items():
            found += (
                (f"x-ratelimit-limit-{family}", str(amount)),
                (f"x-ratelimit-remaining-{family}", str(left)),
                (f"x-ratelimit-reset-{family}", go_duration(wait_s)),
            )
        return found


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


def _item(start: str, term: Term, left: int, wait_s: float) -> str:
    item = f"{start}{_shown(term, left)}"
    return item if term.kind is Kind.CONCURRENT else f"{item};t={ceil(wait_s)}"


def _shown(term: Term, amount: int) -> int:
    if term.limit.resource is Resource.COST:
        amount //= NANOUSD_PER_UNIT
    return min(INTEGER_MAX, amount)
