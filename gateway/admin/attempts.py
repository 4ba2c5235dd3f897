"""How often an address may fail to authenticate before it is told to wait.

Only failures count, and a right token is never asked to wait: whoever shares an address with an attacker, or sits
behind the same proxy, gets in all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES_MAX: Final = 10
FAILURE_EVERY_S: Final = 6.0
ADDRESSES_MAX: Final = 4_096
NETWORK_BITS: Final = 64


class FailedAttempts:
    """Ten at once, then one in six seconds, by address; of IPv6 by /64, since whoever has one address has them all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # When the address would be at no failures again: later by one interval with each, never further than ten.
        self._clean_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clean_s)

    def count(self, peer: str) -> float:
        """One more failure from there; how many seconds until another is free, 0 while this one was."""
        now, origin = self._clock(), origin_of(peer)
        clean_s = max(now, self._clean_s.pop(origin, now)) + FAILURE_EVERY_S
        allowed_until_s = now + FAILURES_MAX * FAILURE_EVERY_S
        wait_s = max(0.0, clean_s - allowed_until_s)
        self._clean_s[origin] = min(clean_s, allowed_until_s)
        if len(self._clean_s) > ADDRESSES_MAX:
            self._clean_s.popitem(last=False)
        return wait_s


def origin_of(peer: str) -> str:
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((int(address), NETWORK_BITS), strict=False))
    return str(address)
