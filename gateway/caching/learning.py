"""What each route's traffic of each owner has taught, kept while it is in use and remembered for the next start.

Every process learns for itself. Where several share a store, the last to write is where the next one begins.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.caching.curves import Curves
from policies.cache_lessons import HIGHEST, LOWEST, Lessons
from policies.caching import BINS, Experience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.state.answers.store import AnswerStore
    from policies.caching import Verdict

    Change = Callable[[Experience], Experience]

log = logging.getLogger(__name__)

KNOWN_MAX: Final = 2_000
LATE_MAX: Final = 100
EVERY_S: Final = 30.0
FORMAT: Final = 1
COUNT_MAX: Final = 1e9
"""Of anything that is remembered. Whoever could write more would have a budget without end."""


class Where(NamedTuple):
    """Whose traffic, and by which embedder it was compared: a cosine means something else to each."""

    route: str
    owner: str
    embedder: str

    @property
    def name(self) -> str:
        """What it is remembered under; no owner is told by it."""
        written = b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, self))
        return f"experience {FORMAT} {hashlib.sha256(written).hexdigest()[:40]}"


class _Learnt:
    __slots__ = ("experience", "is_new", "passed")

    def __init__(self, experience: Experience) -> None:
        self.experience = experience
        self.passed = 0
        self.is_new = False


class Learning:
    """Process scope."""

    def __init__(self, store: AnswerStore) -> None:
        self._store = store
        self.curves = Curves(store)
        self._learnt: OrderedDict[Where, _Learnt] = OrderedDict()
        self._leaving: OrderedDict[Where, _Learnt] = OrderedDict()  # not in use any more, and yet to be remembered
        self._late: OrderedDict[Where, list[Change]] = OrderedDict()  # of what has to be recalled first
        self._task: asyncio.Task[None] | None = None

    async def experience(self, where: Where) -> Experience:
        """With all requests that passed since it was last asked for."""
        learnt = self._learnt.get(where) or self._leaving.pop(where, None)
        if learnt is None:
            recalled = read(await self._store.recall(where.name))
            learnt = self._learnt.get(where) or self._leaving.pop(where, None) or _Learnt(recalled)
        learnt = self._known(where, learnt)
        for change in self._late.pop(where, ()):
            learnt.experience, learnt.is_new = change(_caught_up(learnt)), True
        self._learnt.move_to_end(where)
        return _caught_up(learnt)

    def passed(self, where: Where) -> None:
        """One more request that level 2 was not needed for: it brings its share of the budget all the same."""
        learnt = self._learnt.get(where)
        if learnt is not None:
            learnt.passed += 1
            learnt.is_new = True

    def decided(self, where: Where, verdict: Verdict) -> None:
        """One more request that got as far as a verdict."""
        self._change(where, lambda experience: experience.after(verdict))

    def labelled(self, where: Where, log_odds: float, *, wrong: bool) -> None:
        """What a random check of a candidate found."""
        self._change(where, lambda experience: experience.labelled(log_odds, wrong=wrong))

    def reported(self, where: Where) -> None:
        """A caller called a hit bad."""
        self._change(where, lambda experience: experience.reported())

    def all(self) -> Iterator[tuple[Where, Experience]]:
        """For operators."""
        return ((where, _caught_up(learnt)) for where, learnt in self._learnt.items())

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._remember_now_and_then(), name="cache: learnt")

    async def close(self) -> None:
        """All that is new is remembered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.remember()

    async def remember(self) -> None:
        for where in [*self._late]:
            await self.experience(where)
        for where, learnt in [*self._learnt.items(), *self._leaving.items()]:
            if learnt.is_new:
                learnt.is_new = False
                await self._store.remember(where.name, msgspec.json.encode(_caught_up(learnt)))
            if not learnt.is_new:
                self._leaving.pop(where, None)

    def _known(self, where: Where, learnt: _Learnt) -> _Learnt:
        learnt = self._learnt.setdefault(where, learnt)
        while len(self._learnt) > KNOWN_MAX:
            gone, last = self._learnt.popitem(last=False)
            if last.is_new:
                _put(self._leaving, gone, last)
        return learnt

    def _change(self, where: Where, change: Change) -> None:
        learnt = self._learnt.get(where) or self._leaving.get(where)
        if learnt is None:  # a check may come back long after; what it adds to is not to be begun anew
            _put(self._late, where, [*self._late.get(where, ()), change][-LATE_MAX:])
            return
        learnt.experience = change(_caught_up(learnt))
        learnt.is_new = True

    async def _remember_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.remember()
            except Exception:
                log.exception("what a cache has learnt could not be remembered")


def _put(kept: OrderedDict[Where, Any], where: Where, one: object) -> None:
    kept[where] = one
    if len(kept) > KNOWN_MAX:
        kept.popitem(last=False)


def _caught_up(learnt: _Learnt) -> Experience:
    if learnt.passed:
        old, passed = learnt.experience, float(learnt.passed)
        learnt.experience = replace(old, requests=old.requests + passed, weight=old.weight + passed)
        learnt.passed = 0
    return learnt.experience


def read(state: bytes | None) -> Experience:
    """What was remembered; nothing where it is not what this writes: a store may have been written to by others."""
    if state is None:
        return Experience()
    try:
        found = msgspec.json.decode(state, type=Experience)
    except (msgspec.DecodeError, RecursionError):
        return Experience()
    return found if _is_sound(found) else Experience()


def _is_sound(found: Experience) -> bool:
    lessons, untaught = found.lessons, Lessons()
    counts = (found.requests, found.weight, found.spent, lessons.labels, lessons.wrong, lessons.reports)
    are_whole = len(found.seen) == len(found.served) == BINS and len(lessons.learnt) == len(untaught.learnt)
    are_numbers = all(map(math.isfinite, lessons.learnt)) and LOWEST <= lessons.shift <= HIGHEST
    return are_whole and are_numbers and all(0.0 <= one <= COUNT_MAX for one in (*counts, *found.seen, *found.served))
