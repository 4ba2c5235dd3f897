"""What each route's traffic of each owner has taught, kept while it is in use and remembered for the next start. What
all owners of a route have done together stands beside it, and is kept for as long as the process lives.

Every process learns for itself. Where several share a store, the last to write is where the next one begins; but what
accounts held is not handed on, else each of them would have it: debts are.
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
from policies.cache_accounts import ALONE, CREDIT, as_part
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
TOGETHER: Final = ""
"""In place of an owner: all of them."""
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
    def together(self) -> Where:
        return self._replace(owner=TOGETHER)

    @property
    def name(self) -> str:
        """What it is remembered under; no owner is told by it."""
        written = b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, self))
        return f"experience {FORMAT} {hashlib.sha256(written).hexdigest()[:40]}"


class _Learnt:
    """`route` is what its owners have in common; None for that itself."""

    __slots__ = ("experience", "is_new", "passed", "route")

    def __init__(self, experience: Experience, route: _Learnt | None = None) -> None:
        self.experience = experience
        self.route = route
        self.passed = 0
        self.is_new = False

    def change(self, change: Change) -> None:
        """Of both, and what is borrowed by it."""
        before = self.caught_up()
        self.experience, self.is_new = change(before), True
        if self.route is not None:
            self.route.change(change)
            self._borrow(before)

    def caught_up(self) -> Experience:
        """With all requests that passed since."""
        if self.passed:
            before, passed = self.experience, float(self.passed)
            self.experience, self.passed = before.passed(passed), 0
            self._borrow(before)
        return self.experience

    def _borrow(self, before: Experience) -> None:
        if self.route is not None:
            self.route.experience = self.route.caught_up().lending(before, self.experience)


class Learning:
    """Process scope. `credit` is this process's part of what owners of one route may owe."""

    def __init__(self, store: AnswerStore, credit: float = CREDIT) -> None:
        self._store = store
        self._credit = credit
        self.curves = Curves(store)
        self._routes: dict[Where, _Learnt] = {}
        self._learnt: OrderedDict[Where, _Learnt] = OrderedDict()
        self._leaving: OrderedDict[Where, _Learnt] = OrderedDict()  # not in use any more, and yet to be remembered
        self._late: OrderedDict[Where, list[Change]] = OrderedDict()  # of what has to be recalled first
        self._task: asyncio.Task[None] | None = None

    async def begin(self, route: str, embedder: str) -> None:
        """Recall what all owners of the route did, before one of them calls."""
        await self._together(Where(route, TOGETHER, embedder))

    async def account(self, where: Where) -> Experience:
        """What an owner is served by."""
        learnt = await self._of(where)
        assert learnt.route is not None  # noqa: S101 - it is an owner's
        return as_part(learnt.caught_up(), learnt.route.caught_up(), self._credit)

    async def experience(self, where: Where) -> Experience:
        """What its own traffic has taught, with all requests that passed since it was last asked for."""
        return (await self._of(where)).caught_up()

    async def _of(self, where: Where) -> _Learnt:
        learnt = self._learnt.get(where) or self._leaving.pop(where, None)
        if learnt is None:
            route = await self._together(where.together)
            recalled = read(await self._store.recall(where.name))
            learnt = self._learnt.get(where) or self._leaving.pop(where, None) or _Learnt(recalled, route)
        learnt = self._known(where, learnt)
        for change in self._late.pop(where, ()):
            learnt.change(change)
        self._learnt.move_to_end(where)
        return learnt

    async def _together(self, where: Where) -> _Learnt:
        if where not in self._routes:
            recalled = read(await self._store.recall(where.name))
            self._routes.setdefault(where, _Learnt(recalled))
        return self._routes[where]

    def passed(self, where: Where) -> None:
        """One more request that level 2 was not needed for: it brings its share of the budget all the same."""
        learnt = self._learnt.get(where)
        if learnt is not None:
            learnt.passed += 1
            learnt.is_new = True
            if learnt.route is not None:
                learnt.route.passed += 1
                learnt.route.is_new = True

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
        """Of each owner of late."""
        return ((where, learnt.caught_up()) for where, learnt in self._learnt.items())

    def routes(self) -> Iterator[tuple[str, Experience]]:
        """Of all owners together, those included that are not known any more."""
        return ((where.route, learnt.caught_up()) for where, learnt in self._routes.items())

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
        for where, learnt in [*self._routes.items(), *self._learnt.items(), *self._leaving.items()]:
            if learnt.is_new:
                learnt.is_new = False
                await self._store.remember(where.name, msgspec.json.encode(learnt.caught_up()))
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
        learnt.change(change)

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


def read(state: bytes | None) -> Experience:
    """What was remembered; nothing where it is not what this writes: a store may have been written to by others."""
    if state is None:
        return Experience()
    try:
        found = msgspec.json.decode(state, type=Experience)
    except (msgspec.DecodeError, RecursionError):
        return Experience()
    return replace(found, purse=min(found.purse, 0.0), owing_max=ALONE) if _is_sound(found) else Experience()


def _is_sound(found: Experience) -> bool:
    lessons, untaught = found.lessons, Lessons()
    counts = (
        found.requests,
        found.weight,
        found.spent,
        found.lent,
        abs(found.purse),
        lessons.labels,
        lessons.wrong,
        lessons.reports,
    )
    are_whole = len(found.seen) == len(found.served) == BINS and len(lessons.learnt) == len(untaught.learnt)
    are_numbers = all(map(math.isfinite, lessons.learnt)) and LOWEST <= lessons.shift <= HIGHEST
    return are_whole and are_numbers and all(0.0 <= one <= COUNT_MAX for one in (*counts, *found.seen, *found.served))
