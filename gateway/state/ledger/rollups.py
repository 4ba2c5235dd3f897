"""What a batch of attempts adds to the sums: usage by hour and owner, and what each calendar account was charged."""

from __future__ import annotations

import hashlib
import json
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.state.ledger.schema import FROM_CACHE, LedgerRow

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR_MS: Final = 3_600_000
LONGEST_ACCOUNT: Final = 512

DIMENSIONS: Final = (
    "org", "team", "user", "key_id", "key_name", "route", "deployment", "provider", "model", "tags", "price_source",
)  # fmt: skip
"""Who and where, and where the price came from: what usage is kept by. Sums of older releases know no source."""

MEASURES: Final = (
    "calls", "attempts", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "estimated_tokens", "cost_nanousd", "priced_attempts", "unpriced_attempts", "unpriced_tokens",
    "cache_hits", "saved_nanousd", "saved_tokens", "upstream_nanousd", "gpu_us",
    "input_nanousd", "cached_input_nanousd", "cache_write_nanousd", "output_nanousd", "request_nanousd", "tool_nanousd",
)  # fmt: skip
"""What is added up. A call counts where its first attempt went, or where the answer came from that a cache had for it;
`cost_nanousd` is the cost of the priced attempts, and `upstream_nanousd` what providers are expected to bill for them.
The components add up to it, but for what older releases have summed.
"""
COMPONENTS: Final = MEASURES[-6:]

_INDEX: Final = {name: index for index, name in enumerate(LedgerRow._fields)}
_who: Final = itemgetter(_INDEX["started_at_ms"], *(_INDEX[name] for name in DIMENSIONS))
_MEASURED: Final = (
    "attempt", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "estimated", "cost_nanousd", "unpriced_reason", "charges", "upstream_nanousd", "gpu_us",
)  # fmt: skip
_measured: Final = itemgetter(*(_INDEX[name] for name in _MEASURED))
_components: Final = itemgetter(*(_INDEX[name] for name in COMPONENTS))
_charges: Final = msgspec.json.Decoder(list[tuple[str, float, int]])

Who = tuple[str | None, ...]


class Rollups(NamedTuple):
    """`usage`: sums, as MEASURES names them, by hour and who; `charges`: amounts by account and window."""

    usage: dict[tuple[int, Who], list[int]]
    charges: dict[tuple[str, int], int]


def rolled_up(rows: Iterable[LedgerRow]) -> Rollups:
    """The sums over `rows`. Raises `ValueError` for charges that cannot be read."""
    usage: dict[tuple[int, Who], list[int]] = {}
    charges: dict[tuple[str, int], int] = {}
    for row in rows:
        started_at_ms, *who = _who(row)
        key = (started_at_ms // HOUR_MS * 3600, tuple(who))
        sums = usage.get(key)
        if sums is None:
            sums = usage[key] = [0] * len(MEASURES)
        charged = _add(sums, _measured(row)) if row.attempt != FROM_CACHE else _add_hit(sums, row)
        if row.cost_nanousd:
            _add_components(sums, _components(row))
        if charged is not None:
            _charge(charges, charged)
    return Rollups(usage, charges)


def _add(
    sums: list[int],
    measured: tuple[int, int, int, int, int, int, int, int | None, str | None, str | None, int | None, int | None],
) -> str | None:
    attempt, input_, cached, written, output, reasoning, estimated, cost, unpriced, charged, upstream, gpu_us = measured
    sums[0] += attempt == 1
    sums[1] += 1
    sums[2] += input_
    sums[3] += cached
    sums[4] += written
    sums[5] += output
    sums[6] += reasoning
    if estimated:
        sums[7] += input_ + output
    if cost is not None:
        sums[8] += cost
        sums[9] += 1
        sums[15] += cost if upstream is None else upstream
    if unpriced is not None:
        sums[10] += 1
        sums[11] += input_ + output
    if gpu_us is not None:
        sums[16] += gpu_us
    return charged


def _add_components(sums: list[int], components: tuple[int | None, ...]) -> None:
    input_, cached, written, output, request, tool = components
    sums[17] += input_ or 0
    sums[20] += output or 0
    if cached or written or request or tool:
        sums[18] += cached or 0
        sums[19] += written or 0
        sums[21] += request or 0
        sums[22] += tool or 0


def _add_hit(sums: list[int], row: LedgerRow) -> str | None:
    """A call, and no attempt."""
    sums[0] += 1
    sums[12] += 1
    sums[13] += row.saved_nanousd or 0
    sums[14] += row.saved_tokens or 0
    return row.charges


def _charge(charges: dict[tuple[str, int], int], charged: str) -> None:
    for account, window_start_s, amount in _charges.decode(charged):
        key = account_key(account), int(window_start_s)
        charges[key] = charges.get(key, 0) + amount


def account_key(account: str) -> str:
    """The account as the database knows it: an index takes no text of any length."""
    if len(account) <= LONGEST_ACCOUNT:
        return account
    return f"{account[: LONGEST_ACCOUNT - 33]}#{_digest(account)}"


def series_of(who: Who) -> str:
    """Who and where as one short text, the same in every release: it is half of a key in the database."""
    return _digest(json.dumps(who, separators=(",", ":")))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
