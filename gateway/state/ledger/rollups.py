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
_who: Final = itemgetter(*(_INDEX[name] for name in DIMENSIONS))
_SAVED: Final = ("saved_nanousd", "saved_tokens")
_ADDED: Final = [name for name in MEASURES if name in _INDEX and name not in {"upstream_nanousd", *_SAVED}]
_charges: Final = msgspec.json.Decoder(list[tuple[str, float, int]])

Who = tuple[str | None, ...]


class Rollups(NamedTuple):
    """`usage`: sums, as MEASURES names them, by hour and who; `charges`: amounts by account and window."""

    usage: dict[tuple[int, Who], list[int]]
    charges: dict[tuple[str, int], int]


def rolled_up(rows: Iterable[LedgerRow]) -> Rollups:
    """The sums over `rows`. Raises `ValueError` for charges that cannot be read."""
    alike: dict[tuple[int, Who], list[LedgerRow]] = {}
    charges: dict[tuple[str, int], int] = {}
    for row in rows:
        key = row.started_at_ms // HOUR_MS * 3600, _who(row)
        if (some := alike.get(key)) is None:
            alike[key] = [row]
        else:
            some.append(row)
        if row.charges is not None:
            _charge(charges, row.charges)
    return Rollups({key: _added_up(some) for key, some in alike.items()}, charges)


def _added_up(rows: list[LedgerRow]) -> list[int]:
    attempts = [row for row in rows if row.attempt != FROM_CACHE]
    sums = dict.fromkeys(MEASURES, 0) | (_of_attempts(attempts) if attempts else {})
    if len(attempts) < len(rows):
        hits = [row for row in rows if row.attempt == FROM_CACHE]
        sums["calls"] += len(hits)
        sums["cache_hits"] = len(hits)
        sums["saved_nanousd"] = sum(row.saved_nanousd or 0 for row in hits)
        sums["saved_tokens"] = sum(row.saved_tokens or 0 for row in hits)
    return list(sums.values())


def _of_attempts(rows: list[LedgerRow]) -> dict[str, int]:
    """Column by column, since that takes half the time."""
    columns = dict(zip(LedgerRow._fields, zip(*rows, strict=True), strict=True))
    sums: dict[str, int] = {name: sum(filter(None, columns[name])) for name in _ADDED}
    sums["calls"] = columns["attempt"].count(1)
    sums["attempts"] = len(rows)
    costs, reasons, upstream = columns["cost_nanousd"], columns["unpriced_reason"], columns["upstream_nanousd"]
    sums["priced_attempts"] = len(rows) - costs.count(None)
    sums["unpriced_attempts"] = len(rows) - reasons.count(None)
    sums["upstream_nanousd"] = sums["cost_nanousd"]
    if any(columns["estimated"]):
        sums["estimated_tokens"] = sum(row.input_tokens + row.output_tokens for row in rows if row.estimated)
    if sums["unpriced_attempts"]:
        unpriced = [row for row in rows if row.unpriced_reason is not None]
        sums["unpriced_tokens"] = sum(row.input_tokens + row.output_tokens for row in unpriced)
    if upstream.count(None) < len(rows):
        billed = [(cost, cost if told is None else told) for cost, told in zip(costs, upstream, strict=True)]
        sums["upstream_nanousd"] = sum(told for cost, told in billed if cost is not None and told is not None)
    return sums


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
