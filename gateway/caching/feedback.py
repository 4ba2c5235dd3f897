"""`POST /v1/cache/feedback`: a caller says whether an answer that it was served was good. A bad one is served to nobody
any more, and raises the bar for those like it.

Only who shares an entry may speak of it; for everybody else there is no such entry. Each key has one say per entry, and
so many a minute: who floods it moves nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from gateway.caching.owners import owners_of
from gateway.edge import read_json, whole
from gateway.errors import LimitError, RequestError
from gateway.limits import refusals
from gateway.signals.cache_telemetry import LabelSource
from gateway.stages.authenticate import identify
from gateway.state.answers.store import StoreUnavailable, Which
from policies.cache_rules import Bypass

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.caching.learning import Learning
    from gateway.caching.served import Served, Serving
    from gateway.generation import Generation
    from gateway.server import Inbound, Outbound
    from gateway.signals.cache_metrics import CacheMetrics
    from gateway.state.answers.store import AnswerStore, Kept
    from policies.vocabulary import Principal

PATH: Final = "/cache/feedback"
BODY_BYTES_MAX: Final = 16 << 10
REASON_CHARS_MAX: Final = 1_000
A_MINUTE: Final = 60
SAID_MAX: Final = 50_000
KEYS_MAX: Final = 10_000
UNAVAILABLE: Final = f"cache_{Bypass.UNAVAILABLE.value}"


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """The body. One of `id` and `request_id` names what was served. `reason` is for people; it is not kept."""

    verdict: Literal["good", "bad"]
    id: str | None = None
    request_id: str | None = None
    reason: str | None = None


_SAID: Final = msgspec.json.Decoder(Said)


class Feedback:
    """Process scope. `Served` knows requests of this process alone; an entry's id is known wherever the store is."""

    def __init__(
        self, store: AnswerStore, served: Served, learning: Learning, metrics: Callable[[], CacheMetrics]
    ) -> None:
        self._store = store
        self._served = served
        self._learning = learning
        self._metrics = metrics
        self._said: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._minutes: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def respond(self, generation: Generation, inbound: Inbound, request_id: str) -> Outbound:
        """Raises `RequestError` 400, 401, 404; `LimitError` 429 for too much of it, 503 while the store is away."""
        principal = identify(inbound.headers, generation, inbound.peer)
        self._count(principal)
        said = read(await read_json(inbound, BODY_BYTES_MAX))
        kept, serving = await self._find(principal, said)
        is_good = said.verdict == "good"
        if is_good:
            self._praise(principal, kept)
        else:
            await self._evict(kept, serving)
        told = {"id": kept.entry.id, "verdict": said.verdict, "evicted": not is_good}
        return whole(inbound, request_id, told)

    def _praise(self, principal: Principal, kept: Kept) -> None:
        """Once for each key and entry."""
        place = principal.key_id, kept.entry.id
        if place in self._said:
            return
        self._said[place] = None
        if len(self._said) > SAID_MAX:
            self._said.popitem(last=False)
        self._store.note(kept, good=1)
        self._metrics().labelled(kept.entry.route, LabelSource.FEEDBACK, is_good=True)

    async def _evict(self, kept: Kept, serving: Serving | None) -> None:
        try:
            dropped = await self._store.drop(Which(owner=kept.entry.owner, id=kept.entry.id))
        except StoreUnavailable:
            raise away() from None
        if not dropped:
            return  # somebody else was quicker, and has been heard
        self._metrics().labelled(kept.entry.route, LabelSource.FEEDBACK, is_good=False)
        # A wrong answer to its own question is no fault of the comparison.
        if serving is not None and serving.where is not None:
            self._learning.reported(serving.where)

    async def _find(self, principal: Principal, said: Said) -> tuple[Kept, Serving | None]:
        """What is spoken of. Whoever does not share it hears what is said of what there is not."""
        owners = owners_of(principal)
        serving = self._served.by_request(said.request_id) if said.request_id is not None else None
        entry_id = said.id if serving is None else serving.entry_id
        if entry_id is None or (serving is not None and serving.owner not in owners):
            raise unknown()
        try:
            kept = await self._store.get(entry_id)
        except StoreUnavailable:
            raise away() from None
        if kept is None or kept.entry.id != entry_id or kept.entry.owner not in owners:
            raise unknown()
        return kept, serving or self._served.by_entry(entry_id)

    def _count(self, principal: Principal) -> None:
        minute = int(time.monotonic() // 60)
        since, count = self._minutes.pop(principal.key_id, (minute, 0))
        count = count + 1 if since == minute else 1
        self._minutes[principal.key_id] = minute, count
        if len(self._minutes) > KEYS_MAX:
            self._minutes.popitem(last=False)
        if count > A_MINUTE:
            raise LimitError(
                f"This key has given feedback {A_MINUTE} times in this minute.",
                status=429,
                type_="requests",
                code="rate_limit_exceeded",
                retry_after_s=60.0 - time.monotonic() % 60,
            )


def read(body: bytes) -> Said:
    """Raises `RequestError`."""
    try:
        said = _SAID.decode(body)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise RequestError(f"The feedback could not be read: {str(problem)[:200]}") from None
    if (said.id is None) == (said.request_id is None):
        raise RequestError("Name what was served: either `id` or `request_id`.", param="id")
    if said.reason is not None and len(said.reason) > REASON_CHARS_MAX:
        raise RequestError(f"The reason has at most {REASON_CHARS_MAX} characters.", param="reason")
    return said


def unknown() -> RequestError:
    return RequestError("There is no such entry in the cache.", status=404, code="cache_entry_not_found")


def away() -> LimitError:
    return refusals.unavailable(UNAVAILABLE, "The gateway's cache cannot be asked at the moment.")
