"""What the ledger says of one attempt, in whole numbers and texts; `gateway.state.migrations` lays out its tables."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec


class LedgerError(Exception):
    """A ledger that cannot be used: what is wrong with it and, where known, what to do."""


class LedgerRow(NamedTuple):
    """One attempt, in the table's column order. `started_at_ms` is Unix time; `cost_nanousd` is None when unpriced.

    Attempt 0 is an answer from a cache: nothing was attempted. Its deployment, provider and model are those that the
    answer came from, its tokens and cost are 0, and `saved_tokens` and `saved_nanousd` are what the answer took when it
    was made, None where that is not known.

    Flags are 0 or 1: sqlite3 asks around for how to adapt anything that is not exactly a number or a text. `tags` is a
    JSON array of texts; `charges` a JSON array of [account, window_start_s, amount]: the calendar accounts, named
    "tenant|account", that this attempt was charged to. `engine_ms` is its share of the time of an engine of ours, and
    `gpu_us` what that was of its processors.

    The six components add up to `cost_nanousd`; rows of before there were six have None for the two that came last,
    which then are 0. `price_id` is that of a row of `prices`, and `price_source` is `estimated` where the tokens are.
    `upstream_nanousd` is what the provider is expected to bill where that is not the cost; `service` the tier that it
    says it billed, where that is not the standard one; `usage_details` a JSON object of what few answers count.
    """

    request_id: str
    attempt: int
    started_at_ms: int
    key_id: str | None
    key_name: str | None
    team: str | None
    user: str | None
    route: str | None
    endpoint: str
    model_requested: str
    deployment: str
    provider: str
    model: str
    outcome: str
    status: int
    error_code: str | None
    stream: int
    cancelled: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: int
    cost_nanousd: int | None
    input_nanousd: int | None
    cached_input_nanousd: int | None
    cache_write_nanousd: int | None
    output_nanousd: int | None
    unpriced_reason: str | None
    price_id: str | None
    price_source: str | None
    price_as_of: str | None
    duration_ms: int
    ttft_ms: int | None
    org: str | None = None
    tags: str | None = None
    charges: str | None = None
    engine_ms: int | None = None
    cache_level: str | None = None
    saved_nanousd: int | None = None
    saved_tokens: int | None = None
    request_nanousd: int | None = None
    tool_nanousd: int | None = None
    upstream_nanousd: int | None = None
    service: str | None = None
    usage_details: str | None = None
    gpu_us: int | None = None


FROM_CACHE: Final = 0
"""The attempt that is none: the answer came from a cache."""

ERRAND_KEY: Final = "cache:"
"""Begins the ids of keys under which a cache makes calls by itself, before what for; no caller's key has a colon."""

LARGEST: Final = 2**53
"""Numbers beyond are no count of anything, and sums over them would leave what databases hold."""

_TEXTS: Final = frozenset(name for name, kind in LedgerRow.__annotations__.items() if "str" in str(kind))
_OPTIONAL: Final = frozenset(name for name, kind in LedgerRow.__annotations__.items() if "None" in str(kind))


def storable(row: LedgerRow) -> LedgerRow:
    """The row as any database can hold it: one odd value must not lose what the rest says."""
    return LedgerRow._make(map(_storable, LedgerRow._fields, row))


def _storable(name: str, value: object) -> object:
    if value is None and name in _OPTIONAL:
        return None
    if name in _TEXTS:
        text = str(value if value is not None else "").replace("\0", "\N{REPLACEMENT CHARACTER}")
        text = text.encode(errors="replace").decode()
        return text if name != "charges" or _is_charges(text) else None
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return max(-LARGEST, min(int(value), LARGEST))
    return 0


def _is_charges(text: str) -> bool:
    try:
        charges = msgspec.json.decode(text, type=list[tuple[str, float, int]])
    except ValueError:
        return False
    return all(abs(amount) <= LARGEST for _, _, amount in charges)
