"""Holds the limit store against the ledger: counters are caches, and what the ledger says was spent is the truth.

Every minute each calendar account at rest, with nothing held and unchanged while we look, is compared with the charges
in the ledger. Another node's rows may be on their way, so a difference counts once it has stood for two rounds
unchanged; then it shows in `drift`, and the store is put right.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from policies.limits import Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.state.limits.store import Kept, LimitStore

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0


class Drift(NamedTuple):
    """What the last round found: of `compared` accounts, how far the store is from the ledger.

    `ratio` is that of the worst account, of the larger of its two numbers; `amount` its difference, positive where the
    store has more than was spent.
    """

    compared: int = 0
    differing: int = 0
    amount: int = 0
    ratio: float = 0.0


class Difference(NamedTuple):
    kept: Kept
    spent: int

    @property
    def amount(self) -> int:
        return round(self.kept.state.used) - self.spent

    @property
    def ratio(self) -> float:
        return abs(self.amount) / max(self.kept.state.used, self.spent, 1.0)


class Reconciler:
    """`spent_of` is the ledger's: what accounts, named "tenant|account", were charged in their windows."""

    def __init__(
        self, store: LimitStore, spent_of: Callable[[Sequence[tuple[str, float]]], Awaitable[Sequence[int]]]
    ) -> None:
        self.drift = Drift()
        self.corrections = 0
        self._store = store
        self._spent_of = spent_of
        self._suspected: frozenset[Difference] = frozenset()

    async def run(self, tenants: Callable[[], Sequence[str]]) -> None:
        """A round every minute, until cancelled; one that the store or the ledger fails is left out."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.compare(tenants())
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round may find it gone
                log.warning("limits could not be held against the ledger: %s", error)

    async def compare(self, tenants: Sequence[str]) -> Drift:
        """One round. Raises `StoreUnavailable` and `LedgerError`."""
        before = await self._at_rest(tenants)
        spent = await self._spent_of([(_name(kept), kept.state.at_s) for kept in before]) if before else ()
        still = frozenset(await self._at_rest(tenants)) if before else frozenset()
        found = [Difference(*pair) for pair in zip(before, spent, strict=True) if pair[0] in still]
        differing = [difference for difference in found if difference.amount]
        standing = [difference for difference in differing if difference in self._suspected]
        self._suspected = frozenset(differing)
        self.drift = _drift(len(found), standing)
        for difference in standing:
            await self._put_right(difference)
        return self.drift

    async def _at_rest(self, tenants: Sequence[str]) -> list[Kept]:
        kept = await self._store.view(tenants)
        return [one for one in kept if one.kind == Kind.CALENDAR and not one.state.held]

    async def _put_right(self, difference: Difference) -> None:
        log.warning(
            "account %s counts %d in the limit store and %d in the ledger",
            _name(difference.kept),
            difference.kept.state.used,
            difference.spent,
        )
        self.corrections += await self._store.correct(difference.kept, difference.spent)


def _drift(compared: int, differing: Sequence[Difference]) -> Drift:
    if not differing:
        return Drift(compared)
    worst = max(differing, key=lambda difference: difference.ratio)
    return Drift(compared, len(differing), worst.amount, worst.ratio)


def _name(kept: Kept) -> str:
    return f"{kept.tenant}|{kept.account}"
