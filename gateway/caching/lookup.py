"""Finding an answer that was kept, and turning it into a reply; what a store gives back is believed only as far as it
fits who asks, for a store may be shared, and written to by others.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.caching.embedding import ON_BEHALF
from gateway.caching.learning import Where
from gateway.caching.replayed import replayed
from gateway.call import Reply
from gateway.embedding.embedder import ASKED_FOR, EmbedderUnavailable
from gateway.state.answers.store import Place, StoreUnavailable
from policies.cache_judging import after_yes
from policies.cache_rules import Bypass, Level
from policies.caching import CANDIDATES_MAX, Candidate, decide
from policies.questions.signs import compare_readings, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.caching.asked import Asked
    from gateway.caching.learning import Learning
    from gateway.call import Cached, Call
    from gateway.embedding.embedder import Embedder, Vector
    from gateway.signals.cache_metrics import CacheMetrics
    from gateway.state.answers.store import AnswerStore, Entry, Kept, Neighbour
    from policies.cache_rules import SemanticRules
    from policies.caching import Verdict

AHEAD_MAX_S: Final = 60.0
"""By how much another node's clock may be before this one's."""
_ID: Final = re.compile(r"ce_[0-9A-Za-z_-]{1,64}", re.ASCII)


class Found(NamedTuple):
    """A hit: the entry, how it was found, and the verdict where that took one."""

    kept: Kept
    level: Level
    verdict: Verdict | None = None


class Doubtful(NamedTuple):
    """A candidate above the bar that is worth a judge's question."""

    kept: Kept
    verdict: Verdict


class Means(NamedTuple):
    """What a lookup works with. `embed_within_s` is the longest that a call waits for its question's vector; `clock`
    tells Unix seconds.
    """

    store: AnswerStore
    embedder: Callable[[], Embedder | None]
    learning: Learning
    metrics: Callable[[], CacheMetrics]
    embed_within_s: float
    clock: Callable[[], float] = time.time


class Lookup:
    def __init__(self, means: Means) -> None:
        self._store = means.store
        self._embedder = means.embedder
        self._learning = means.learning
        self._metrics = means.metrics
        self._embed_within_s = means.embed_within_s
        self._clock = means.clock

    async def by_words(self, call: Call, asked: Asked) -> Found | None:
        """Levels 0 and 1. Raises `StoreUnavailable`."""
        kept = await self._store.find(asked.owner, asked.exact, b"")
        if kept is not None and kept.entry.exact == asked.exact and self._fits(call, asked, kept):
            return Found(kept, Level.EXACT)
        asked.look_closer()  # costs more than a look at the store
        if not asked.near:
            return None
        kept = await self._store.find(asked.owner, asked.exact, asked.near)
        is_near = kept is not None and kept.entry.near == asked.near and self._fits(call, asked, kept)
        return Found(kept, Level.NEAR) if kept is not None and is_near else None

    async def by_meaning(self, call: Call, asked: Asked, semantic: SemanticRules) -> Found | Doubtful | None:
        """Level 2. What cannot be asked closes the level for this call."""
        cached = call.cached
        assert cached is not None  # noqa: S101 - the stage made it
        embedder = self._embedder()
        ON_BEHALF.set(call)
        ASKED_FOR.set(asked.owner)
        try:
            vector = None if embedder is None else await self._vector(embedder, asked)
            if embedder is None or vector is None:
                cached.closed = Bypass.UNAVAILABLE if embedder is None else Bypass.LONG
                return None
            near = await self._store.nearest(Place(asked.owner, asked.scope, embedder.id), vector, CANDIDATES_MAX)
        except (EmbedderUnavailable, StoreUnavailable, TimeoutError) as error:
            self._metrics().unavailable("store" if isinstance(error, StoreUnavailable) else "embedder")
            cached.closed = Bypass.UNAVAILABLE
            return None
        candidates = [one for one in near if self._is_candidate(call, asked, embedder.id, one)]
        where = self.where(call, asked, embedder.id)
        verdict = await self._decide(asked, semantic, candidates, where)
        _note(cached, verdict, candidates)
        if verdict.best is not None and verdict.doubtful:
            return Doubtful(candidates[verdict.best].kept, verdict)
        self._learning.decided(where, verdict)
        if verdict.best is None or not verdict.serves:
            return None
        return Found(candidates[verdict.best].kept, Level.SEMANTIC, verdict)

    def where(self, call: Call, asked: Asked, embedder: str) -> Where:
        """Whose experience counts for this call."""
        return Where("" if call.route is None else call.route.name, asked.owner, embedder)

    def passed(self, call: Call, asked: Asked) -> None:
        """A request of a route with level 2 that got its answer before that."""
        if asked.rules.semantic is not None and (embedder := self._embedder()) is not None:
            self._learning.passed(self.where(call, asked, embedder.id))

    async def judged(self, call: Call, asked: Asked, doubtful: Doubtful, *, says_same: bool) -> Found | None:
        """What comes of a doubtful candidate now that its judge has spoken."""
        semantic, cached = asked.rules.semantic, call.cached
        assert semantic is not None  # noqa: S101 - nothing else is doubtful
        assert cached is not None  # noqa: S101 - the stage made it
        where, verdict = self.where(call, asked, asked.embedder), doubtful.verdict
        if says_same:
            experience = await self._learning.account(where)
            verdict = after_yes(verdict, experience, semantic.false_hits_max)
        cached.judged, cached.risk = True, verdict.risk
        self._learning.decided(where, verdict)
        return Found(doubtful.kept, Level.SEMANTIC, verdict) if verdict.serves else None

    async def repeated(self, where: Where, verdict: Verdict, semantic: SemanticRules) -> bool:
        """Whether one more caller gets what was served on a verdict: a crowd may ask for more than the budget holds."""
        experience = await self._learning.account(where)
        if not experience.can_spend(verdict.risk, semantic.false_hits_max):
            return False
        self._learning.decided(where, verdict)
        return True

    def reply(self, call: Call, asked: Asked, found: Found) -> Reply | None:
        """The answer as this caller wants it; None where what was kept is no such answer."""
        cached, entry, now_s = call.cached, found.kept.entry, self._clock()
        assert cached is not None  # noqa: S101 - the stage made it
        answer = replayed(entry, call.request, call.id.removeprefix("req_"), now_s, asked.rules.pace)
        if answer is None:
            return None
        answer.headers = tuple(filter(_is_header, entry.headers)) if entry.headers else ()
        self._store.note(found.kept, hits=1)
        cached.level, cached.entry_id = found.level, entry.id
        cached.age_s = max(0.0, now_s - entry.stored_at_s)
        cached.saved, cached.deployment, cached.model = entry.used, entry.deployment, entry.model
        return Reply(answer, None)

    async def _vector(self, embedder: Embedder, asked: Asked) -> Vector | None:
        began_s = time.perf_counter()
        async with asyncio.timeout(self._embed_within_s):
            asked.vector = await embedder.embed(asked.view.question)
        asked.embedder = embedder.id
        self._metrics().embedded(embedder.id, time.perf_counter() - began_s)
        return asked.vector

    async def _decide(
        self, asked: Asked, semantic: SemanticRules, candidates: Sequence[Neighbour], where: Where
    ) -> Verdict:
        question, checks = read(asked.view.question), semantic.checks_entities
        weighed = [
            Candidate(
                one.similarity,
                compare_readings(question, read(one.kept.entry.question), checks_entities=checks),
                one.kept.record.good,
                one.kept.record.bad,
            )
            for one in candidates
        ]
        doubtful_max = 0.0 if semantic.judge is None else semantic.judge.risk_max
        curve = await self._learning.curves.of(where.embedder)
        experience = await self._learning.account(where)  # last: what others spend meanwhile is spent
        return decide(weighed, curve, experience, semantic.false_hits_max, doubtful_max)

    def _is_candidate(self, call: Call, asked: Asked, embedder: str, one: Neighbour) -> bool:
        entry = one.kept.entry
        is_there = entry.scope == asked.scope and entry.embedder == embedder and bool(entry.question)
        return is_there and -1.01 <= one.similarity <= 1.01 and self._fits(call, asked, one.kept)

    def _fits(self, call: Call, asked: Asked, kept: Kept) -> bool:
        """Whether this caller may have this entry: its owner's, alive, young enough, and from a deployment that could
        answer this very call.
        """
        entry, now_s = kept.entry, self._clock()
        age_s, age_max_s = now_s - entry.stored_at_s, asked.directives.age_max_s
        return (
            entry.owner == asked.owner
            and entry.endpoint == call.request.endpoint._value_
            and now_s < entry.expires_at_s
            and age_s >= -AHEAD_MAX_S
            and (age_max_s is None or age_s <= age_max_s)
            and _ID.fullmatch(entry.id) is not None
            and _is_among(call, entry)
        )


def _is_among(call: Call, entry: Entry) -> bool:
    for one in call.candidates:  # noqa: SIM110 - asked of every hit, and a generator would cost as much again
        if one.name == entry.deployment and one.model == entry.model:
            return True
    return False


def _note(cached: Cached, verdict: Verdict, candidates: Sequence[Neighbour]) -> None:
    if candidates:
        cached.similarity = candidates[0 if verdict.best is None else verdict.best].similarity
    if verdict.best is not None:
        cached.risk = verdict.risk
    cached.bar = verdict.bar
    cached.veto = None if verdict.veto is None else verdict.veto.value


def _is_header(pair: tuple[str, str]) -> bool:
    return pair[0] == "openai-version" and pair[1].isascii() and pair[1].isprintable()
