"""What is kept of an answer once its honest end has come, and what is not."""

from __future__ import annotations

import asyncio
import logging
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from adapters.cache_answers import Storability, storable
from adapters.cache_folding import fold
from gateway.caching.backlog import Backlog
from gateway.caching.captured import Taken
from gateway.caching.embedding import ON_BEHALF
from gateway.embedding.embedder import ASKED_FOR, EmbedderUnavailable, Loading
from gateway.records.settlement import price_of
from gateway.state.answers.store import AtHand, Entry, Used
from policies.attempts import AttemptKind
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.caching.asked import Asked
    from gateway.call import Call
    from gateway.embedding.embedder import Embedder, Vector
    from gateway.state.answers.store import AnswerStore

log = logging.getLogger(__name__)

AT_ONCE_MAX: Final = 1_000
EMBED_WITHIN_S: Final = 10.0
SHOWN: Final = frozenset({"openai-version"})
"""Of an answer's headers, what is true of its repetition too."""


class NotKept(StrEnum):
    """Why an answer is not kept, beside `Storability`; the value is counted."""

    LONG = "long"
    RESUMED = "resumed"
    LOSSY = "lossy"  # its stream says what no whole answer has a place for
    CROWDED = "crowded"


def _nobody(call: Call, times_ns: tuple[int, int]) -> None:
    """Hears that an answer was stored."""


class Keeper:
    """Process scope. Keeping goes on behind the call, unless it is done at once. `stored` hears of what is kept, and
    from when to when that was done, in Unix nanoseconds.
    """

    def __init__(
        self, store: AnswerStore, embedder: Callable[[], Embedder | None], not_stored: Callable[[str, str], None]
    ) -> None:
        self.stored: Callable[[Call, tuple[int, int]], None] = _nobody
        self._store = store
        self._at_hand = store if isinstance(store, AtHand) else None
        self._embedder = embedder
        self._not_stored = not_stored
        self._backlog = Backlog(store)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, call: Call, asked: Asked, now_s: float, taken: Taken | None) -> None:
        """Keep what `call` was answered with, if it may be kept."""
        cached, route = call.cached, call.route
        if cached is None or route is None:
            return
        cached.saved = used_of(call)
        good = _worth_keeping(call, taken) if len(self._tasks) < AT_ONCE_MAX else NotKept.CROWDED
        if not isinstance(good, Taken):
            self._not_stored(route.name, good.value)
            return
        entry = entry_of(call, asked, now_s, good)
        if self._at_hand is not None and not asked.is_semantic:
            self._keep_now(self._at_hand, call, entry)
            return
        in_use = call.generation.in_use  # what embeds may be a deployment, which a reload must leave until then
        in_use.calls += 1
        task = asyncio.create_task(self._keep(call, asked, entry), name="cache: keep")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: in_use.release())

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way that a look into the store might not find yet."""
        return bool(self._tasks)

    async def close(self) -> None:
        """What is on its way gets there, if it does soon."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1.0)
            for task in late:
                task.cancel()
        await self._backlog.close()

    def _keep_now(self, store: AtHand, call: Call, entry: Entry) -> None:
        began_ns = time.time_ns()
        try:
            if not self._store.drops.hold(entry):
                store.keep_now(entry, None)
                self.stored(call, (began_ns, time.time_ns()))
        except Exception:
            log.exception("an answer could not be kept")

    async def _keep(self, call: Call, asked: Asked, entry: Entry) -> None:
        ON_BEHALF.set(call)
        ASKED_FOR.set(asked.owner)
        began_ns = time.time_ns()
        try:
            vector = await self._vector(asked) if asked.is_semantic else None
            if vector is not None:
                entry = replace(entry, embedder=asked.embedder)
            if not self._store.drops.hold(entry):
                await self._store.keep(entry, vector)
                self.stored(call, (began_ns, time.time_ns()))
            if vector is None and entry.question:
                self._embed_later(entry)
        except Exception:
            log.exception("an answer could not be kept")

    def _embed_later(self, entry: Entry) -> None:
        """Where its vector is missing only because the embedder is not loaded yet."""
        embedder = self._embedder()
        if isinstance(embedder, Loading) and not embedder.is_ready:
            self._backlog.add(entry, embedder, embedder)

    async def _vector(self, asked: Asked) -> Vector | None:
        """The question's, if need be made now: nobody waits for it any more."""
        embedder = self._embedder()
        if asked.vector is None and embedder is not None:
            try:
                async with asyncio.timeout(EMBED_WITHIN_S):
                    asked.vector = await embedder.embed(asked.view.question)
                asked.embedder = embedder.id
            except (EmbedderUnavailable, TimeoutError):
                return None
        return asked.vector


def _worth_keeping(call: Call, taken: Taken | None) -> Taken | NotKept | Storability:
    """The answer in the form in which it is kept, or why it is not."""
    if taken is None:
        return NotKept.LONG
    if any(attempt.kind is AttemptKind.RESUME for attempt in call.attempts):
        return NotKept.RESUMED
    endpoint = call.request.endpoint
    if taken.is_events and endpoint is not Endpoint.RESPONSES:
        folded = fold(endpoint, taken.body, taken.tally.usage)
        if folded is None:
            return NotKept.LOSSY
        taken = taken._replace(body=folded, is_events=False)
    found = storable(endpoint, taken.body, is_events=taken.is_events)
    return taken if found is Storability.YES else found


def entry_of(call: Call, asked: Asked, now_s: float, taken: Taken) -> Entry:
    """What is kept. The question's text only where levels above exact compare it."""
    cached, route, attempt = call.cached, call.route, call.decisive
    assert cached is not None  # noqa: S101 - its caller looked
    assert route is not None  # noqa: S101
    return Entry(
        id=cached.entry_id,
        owner=asked.owner,
        route=route.name,
        scope=asked.scope,
        exact=asked.exact,
        near=asked.near,
        question=asked.view.question if asked.is_semantic else "",
        endpoint=call.request.endpoint.value,
        body=taken.body,
        is_events=taken.is_events,
        headers=tuple((name, value) for name, value in taken.headers if name in SHOWN),
        model="" if attempt is None else attempt.deployment.model,
        deployment="" if attempt is None else attempt.deployment.name,
        used=cached.saved or Used(),
        stored_at_s=now_s,
        expires_at_s=now_s + asked.rules.ttl_s,
        tags=tuple(dict.fromkeys((*asked.rules.tags, *asked.tags))),
        request_id=call.id,
    )


def used_of(call: Call) -> Used:
    """What the answer took, as far as its upstream told; counting what it did not tell would hold up the call."""
    attempt = call.decisive
    usage = None if attempt is None or attempt.tally is None else attempt.tally.usage
    if attempt is None or usage is None:
        return Used()
    cost, _ = price_of(usage, attempt)
    return Used(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
        None if cost is None else cost.total_nanousd,
    )
