"""What a cache did with one call, as the log and the call's decision tell it: numbers and names, no text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.signals.cache_telemetry import Result
from policies.cache_rules import Level

if TYPE_CHECKING:
    from gateway.call import Cached


EXACT: Final = "exact"
SEMANTIC: Final = "semantic"


class CacheTold(Struct, omit_defaults=True):
    """`result` is hit, miss or bypass; `kind` is the cache that had the last word: exact, which knows what is near too,
    or semantic; none of a bypass. `reason` says why a call was left alone, or why only an exact hit would do. `risk` is
    how likely the nearest question's answer is wrong here, `bar` how likely it may be. Of hits, `saved_*` are what the
    answer took when it was made.
    """

    result: str
    kind: str | None = None
    level: str | None = None
    reason: str | None = None
    id: str = ""
    age_s: float | None = None
    risk: float | None = None
    bar: float | None = None
    similarity: float | None = None
    veto: str | None = None
    judged: bool = False
    joined: str | None = None
    lookup_ms: float | None = None
    saved_nano_usd: int | None = None
    saved_tokens: int | None = None


def result_of(cached: Cached) -> Result:
    if cached.level is not None:
        return Result.HIT
    return Result.MISS if cached.bypass is None else Result.BYPASS


def kind_of(cached: Cached) -> str | None:
    if cached.bypass is not None:
        return None
    by_meaning = cached.level is Level.SEMANTIC or (cached.level is None and cached.similarity is not None)
    return SEMANTIC if by_meaning else EXACT


def cache_told(cached: Cached) -> CacheTold:
    why, used = cached.bypass or cached.closed, cached.saved
    told = CacheTold(
        result_of(cached).value,
        kind_of(cached),
        None if cached.level is None else cached.level.value,
        None if why is None else why.value,
        cached.entry_id,
    )
    told.risk, told.bar, told.similarity = _short(cached.risk), _short(cached.bar), _short(cached.similarity)
    told.veto, told.judged, told.joined = cached.veto, cached.judged, cached.joined
    told.lookup_ms = round(cached.lookup_s * 1000, 2) or None
    if cached.level is not None:
        told.age_s = round(cached.age_s, 1)
        if used is not None:
            told.saved_nano_usd, told.saved_tokens = used.cost_nanousd, used.input_tokens + used.output_tokens
    return told


def _short(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
