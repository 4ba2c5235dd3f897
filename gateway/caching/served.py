"""Which entries were served to whom a short while ago, so that feedback may name the request instead of the entry."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gateway.caching.learning import Where
    from policies.caching import Verdict

REMEMBERED_MAX: Final = 20_000


class Serving(NamedTuple):
    """One answer that went out. `where` is whose experience a semantic hit counts to, and `verdict` what it was served
    on; None for what was alike in words, or was made for this very request: nothing is learnt of those.
    """

    entry_id: str
    owner: str
    where: Where | None = None
    verdict: Verdict | None = None


class Served:
    """By request. Of entries that were served semantically the latest such serving is known, too."""

    def __init__(self) -> None:
        self._by_request: OrderedDict[str, Serving] = OrderedDict()
        self._by_entry: OrderedDict[str, Serving] = OrderedDict()

    def add(self, request_id: str, serving: Serving) -> None:
        _put(self._by_request, request_id, serving)
        if serving.where is not None:
            _put(self._by_entry, serving.entry_id, serving)

    def by_request(self, request_id: str) -> Serving | None:
        return self._by_request.get(request_id)

    def by_entry(self, entry_id: str) -> Serving | None:
        """None where it was served to nobody by its meaning."""
        return self._by_entry.get(entry_id)


def _put(kept: OrderedDict[str, Serving], key: str, serving: Serving) -> None:
    kept[key] = serving
    if len(kept) > REMEMBERED_MAX:
        kept.popitem(last=False)
