"""The decisions of the latest calls of this process, kept small: references to what the policy holds anyway."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.explaining.decisions import kept, written
from gateway.signals.telemetry import FAULTS
from gateway.state.ledger.schema import ERRAND_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.call import Call
    from gateway.explaining.decisions import Decision, Kept
    from gateway.state.ledger.schema import LedgerRow

KEPT_MAX: Final = 2_000


class RecentDecisions:
    """Bounded; the oldest goes first. A call is added when it is over, and written out only when asked for."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._kept_max = kept_max

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, call: Call, rows: Sequence[LedgerRow] = (), outcome: str = "") -> None:
        """`rows` are the ledger's own, and `outcome` is how the call ended."""
        decisions = self._kept
        decisions[call.id] = kept(call, rows, outcome)
        if len(decisions) > self._kept_max:
            decisions.popitem(last=False)

    def of(self, request_id: str) -> Decision | None:
        found = self._kept.get(request_id)
        return None if found is None else written(found)

    def kept(self, request_id: str) -> Kept | None:
        return self._kept.get(request_id)

    def latest(
        self, limit: int, route: str | None = None, key: str | None = None, *, failed: bool = False
    ) -> list[Decision]:
        """The newest first, of one route or key where these are named; with `failed`, of those that went wrong here or
        upstream. What a cache asked by itself is among them where its key is named.
        """
        found: list[Decision] = []
        for decision in self._matching(route, key):
            if failed and decision.outcome not in FAULTS:
                continue
            found.append(written(decision))
            if len(found) >= limit:
                break
        return found

    def _matching(self, route: str | None, key: str | None) -> Iterator[Kept]:
        for decision in reversed(self._kept.values()):
            if route is not None and (decision.route is None or decision.route.name != route):
                continue
            principal = decision.principal
            if key is not None and (principal is None or principal.key_name != key):
                continue
            if key is None and principal is not None and principal.key_id.startswith(ERRAND_KEY):
                continue
            yield decision
