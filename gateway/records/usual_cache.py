"""What a cache says of the calls that it served or missed by their words alone, as a part of the usual call's line.

What is told of one kind of such calls differs in numbers only; a call whose question was compared with others', or that
joined another, has more to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.cut_out import MS, NUMBER, TENTHS, TEXT

if TYPE_CHECKING:
    from gateway.call import Cached
    from gateway.explaining.cache_told import CacheTold
    from policies.cache_rules import Bypass, Level

CacheKind = tuple["Level | None", "Bypass | None", "Bypass | None", bool, bool, bool, bool] | tuple[()]

NO_CACHE: Final = ()
_SEEN_S: Final = 0.00001
"""A look-up that is surely more than nothing in hundredths of a millisecond."""


def cache_kind(cached: Cached | None) -> CacheKind | None:
    """All that is told of it besides numbers; None for what has more to tell."""
    if cached is None:
        return NO_CACHE
    if cached.joined is not None or cached.similarity is not None or cached.judged:
        return None
    if cached.risk is not None or cached.bar is not None or cached.veto is not None:
        return None
    took_time = cached.lookup_s >= _SEEN_S
    if not took_time and cached.lookup_s:
        return None
    level, used = cached.level, cached.saved
    is_known = level is not None and used is not None
    has_cost = used is not None and is_known and used.cost_nanousd is not None
    return level, cached.bypass, cached.closed, bool(cached.entry_id), took_time, is_known, has_cost


def cut_out_cache(told: CacheTold) -> None:
    """Put marks in the places of its numbers. `told` is spent."""
    places = (("id", TEXT), ("age_s", TENTHS), ("lookup_ms", MS), ("saved_nano_usd", NUMBER), ("saved_tokens", NUMBER))
    for name, mark in places:
        if getattr(told, name) not in (None, ""):
            setattr(told, name, mark)


def cache_numbers(cached: Cached) -> tuple[str | float, ...]:
    """What goes into those places, in their order."""
    found: tuple[str | float, ...] = (cached.entry_id,) if cached.entry_id else ()
    if cached.level is not None:
        found += (cached.age_s,)
    if cached.lookup_s:
        found += (cached.lookup_s * 1000,)
    used = cached.saved
    if cached.level is not None and used is not None:
        tokens = used.input_tokens + used.output_tokens
        found += (tokens,) if used.cost_nanousd is None else (used.cost_nanousd, tokens)
    return found
