"""What callers are told of the cache: one header, in the form of RFC 9211's, though in words of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.call import Cached

CACHE_HEADER: Final = "x-pointsman-cache"


def told(cached: Cached) -> str:
    """`hit; level=semantic; age=31; p=0.0042; id=ce_...`, `miss; id=ce_...` or `bypass; reason=temperature`."""
    level = cached.level
    if level is not None:
        risk = "" if cached.risk is None else f"; p={cached.risk:.4f}"
        return f"hit; level={level.value}; age={cached.age_s:.0f}{risk}; id={cached.entry_id}"
    if cached.bypass is not None:
        return f"bypass; reason={cached.bypass.value}"
    closed = "" if cached.closed is None else f"; closed={cached.closed.value}"
    return f"miss{closed}; id={cached.entry_id}" if cached.entry_id else f"miss{closed}"
