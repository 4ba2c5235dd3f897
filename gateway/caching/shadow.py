"""Shadow checks: for a small share of semantic hits the model is asked all the same, behind the caller's back and at
the operator's cost, and the two answers are compared. What comes of it is how a cache learns how often it is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from adapters.cache_answers import Storability, storable
from adapters.cache_questions import again, text_in
from gateway.caching.embedding import ON_BEHALF
from gateway.caching.errands import Errand, ErrandFailed
from gateway.caching.judge import Judgement
from gateway.embedding.embedder import ASKED_FOR, EmbedderUnavailable
from gateway.signals.cache_telemetry import Purpose
from policies.cache_agreement import agree
from policies.cache_allowance import Allowance
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.caching.errands import Errands, Told
    from gateway.caching.judge import Judge
    from gateway.caching.learning import Where
    from gateway.call import Call
    from gateway.embedding.embedder import Embedder, Vector
    from gateway.state.answers.store import Kept
    from policies.cache_rules import JudgeRules, SemanticRules, ShadowRules

log = logging.getLogger(__name__)

WITHIN_S: Final = 120.0
EMBED_WITHIN_S: Final = 10.0
AT_ONCE_MAX: Final = 4
ROUTES_KEPT: Final = 1_000


class Hit(NamedTuple):
    """A semantic hit as it was served: to whom, with what, and what the curve said of it."""

    call: Call
    kept: Kept
    where: Where
    log_odds: float
    question: str


class Label(NamedTuple):
    """What a check found: whether the hit's answer was wrong."""

    hit: Hit
    wrong: bool


class Scales(NamedTuple):
    """What answers are compared with. `embedder` gives the one that is in use."""

    embedder: Callable[[], Embedder | None]
    judge: Judge


class Shadow:
    """Process scope. `learn` hears of each label."""

    def __init__(
        self,
        errands: Errands,
        scales: Scales,
        learn: Callable[[Label], object],
        rng: Random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._errands = errands
        self._scales = scales
        self._learn = learn
        self._rng = rng
        self._clock = clock
        self._allowances: dict[str, Allowance] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def consider(self, hit: Hit, semantic: SemanticRules) -> bool:
        """Whether a check of this hit goes on in the background now."""
        rules = semantic.shadow
        if rules is None or self._is_closed or self._rng.random() >= rules.share:
            return False
        if len(self._tasks) >= AT_ONCE_MAX or hit.call.route is None or not _stored_text(hit.kept).strip():
            return False
        if not self._take(hit, rules):
            return False
        in_use = hit.call.generation.in_use
        in_use.calls += 1
        task = asyncio.create_task(self._check(hit, semantic.judge), name="cache: shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: in_use.release())
        return True

    async def compare(self, hit: Hit, body: bytes, judge: JudgeRules | None) -> bool | None:
        """Whether an answer made for the hit's own request says the same; None where nobody can tell."""
        endpoint = hit.call.request.endpoint
        fresh, stored = text_in(endpoint, body), _stored_text(hit.kept)
        if not stored.strip() or storable(endpoint, body) is not Storability.YES:
            return None
        found = agree(fresh, stored)
        if found is None:
            found = agree(fresh, stored, await self._cosine(fresh, stored))
        if found is None and judge is not None and not _was_judged(hit):
            told = await self._scales.judge.judgement(hit.call, hit.question, hit.kept.entry.question, judge)
            found = _SAID.get(told)
        return found

    async def close(self) -> None:
        """What goes on is given up, and settled as far as it came."""
        self._is_closed = True
        await asyncio.sleep(0)  # what is cancelled before it begins cannot clean up after itself
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, hit: Hit, rules: ShadowRules) -> bool:
        assert hit.call.route is not None  # noqa: S101 - its caller looked
        name = hit.call.route.name
        now_s, guess_nanousd = self._clock(), hit.kept.entry.used.cost_nanousd
        taken = self._allowances.get(name, Allowance()).taken(rules, now_s, guess_nanousd)
        if taken is None:
            return False
        if len(self._allowances) >= ROUTES_KEPT and name not in self._allowances:
            self._allowances.clear()
        self._allowances[name] = taken
        return True

    async def _check(self, hit: Hit, judge: JudgeRules | None) -> None:
        ON_BEHALF.set(hit.call)
        ASKED_FOR.set(hit.where.owner)
        try:
            told = await self._ask(hit)
            same = await self.compare(hit, told.body, judge)
            if same is not None:
                self._learn(Label(hit, wrong=not same))
        except ErrandFailed as failed:
            log.debug("a shadow check came to nothing: %s", failed)
        except Exception:
            log.exception("a shadow check failed inside the gateway")

    async def _ask(self, hit: Hit) -> Told:
        call = hit.call
        assert call.route is not None  # noqa: S101 - it was looked at before
        within_s = min(WITHIN_S, call.route.timeouts.total_s)
        errand = Errand(Purpose.SHADOW, call, again(call.request), call.route, call.candidates, within_s, call.needs)
        told = await self._errands.run(errand)
        if told.cost_nanousd is not None:
            self._correct(call.route.name, hit.kept.entry.used.cost_nanousd or 0, told.cost_nanousd)
        return told

    def _correct(self, route: str, guess_nanousd: int, cost_nanousd: int) -> None:
        allowance = self._allowances.get(route, Allowance())
        self._allowances[route] = allowance.corrected(self._clock(), guess_nanousd, cost_nanousd)

    async def _cosine(self, one: str, other: str) -> float | None:
        """None where an answer does not fit the embedder's window, or it cannot be asked."""
        embedder = self._scales.embedder()
        if embedder is None:
            return None
        try:
            async with asyncio.timeout(EMBED_WITHIN_S):
                first = await embedder.embed(one)
                second = None if first is None else await embedder.embed(other)
        except (EmbedderUnavailable, TimeoutError):
            return None
        return None if first is None or second is None else _product(first, second)


def _was_judged(hit: Hit) -> bool:
    """Whether a judge let it pass: asked again he would say the same, and that is no evidence for him."""
    return hit.call.cached is not None and hit.call.cached.judged


def _stored_text(kept: Kept) -> str:
    entry = kept.entry
    try:
        endpoint = Endpoint(entry.endpoint)
    except ValueError:
        return ""
    return "" if entry.is_events else text_in(endpoint, entry.body)


def _product(first: Vector, second: Vector) -> float:
    """Both are of length one."""
    return float(first @ second)


_SAID: Final = {Judgement.YES: True, Judgement.NO: False}
