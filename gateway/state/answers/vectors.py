"""The nearest of stored questions, in this process: vectors by the place where they may be found.

Each place (an owner's entries of one scope and embedder) is an index of its own, so that nothing is ever found from
another place, and most are small enough to be compared one by one. A place with many gets a graph beside its rows,
which a thread builds and keeps up; until it has caught up, all rows are compared as before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from gateway.state.answers.vector_gathering import Gathering
from gateway.state.answers.vector_rows import unit

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import Place

log = logging.getLogger(__name__)

Id = TypeVar("Id", bound=Hashable)

GRAPH_FROM: Final = 32_768  # one by one this many take half a millisecond, and a graph no less than a fifth of that
_LONG_FROM: Final = 40_000
_PLACE_BYTES: Final = 900


class VectorIndex(Generic[Id]):
    """For any thread. `count` is how many vectors there are, in all places."""

    def __init__(self, *, graph_from: int = GRAPH_FROM) -> None:
        self._graph_from = graph_from
        self._lock = threading.Lock()
        self._places: dict[Place, Gathering[Id]] = {}
        self._tending: ThreadPoolExecutor | None = None
        self._is_closed = False
        self.count = 0

    def __len__(self) -> int:
        return self.count

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(gathering.size_bytes + _PLACE_BYTES for gathering in self._places.values())

    def add(self, place: Place, id_: Id, vector: Vector) -> bool:
        """In place of the id's last vector there. False for a vector that cannot stand beside the others there."""
        ready = unit(vector)
        if ready is None:
            return False
        with self._lock:
            gathering = self._places.get(place)
            if gathering is None:
                gathering = self._places[place] = Gathering(len(ready))
            if gathering.dimensions != len(ready):
                return False
            self.count += gathering.add(id_, ready)
            self._tend(gathering)
            return True

    def remove(self, place: Place, id_: Id) -> bool:
        """Whether it was there. It is found no more."""
        with self._lock:
            gathering = self._places.get(place)
            if gathering is None or not gathering.remove(id_):
                return False
            self.count -= 1
            if len(gathering):
                self._tend(gathering)
            else:
                del self._places[place]
            return True

    def drop(self, place: Place) -> None:
        """Nothing is found there from now on."""
        with self._lock:
            gathering = self._places.pop(place, None)
            if gathering is not None:
                self.count -= len(gathering)
                gathering.give_up()

    def nearest(self, place: Place, vector: Vector, count: int) -> list[tuple[Id, float]]:
        """Ids and cosines, best first. See `takes_long`."""
        asked = unit(vector)
        with self._lock:
            gathering = self._places.get(place)
            if gathering is None or asked is None or len(asked) != gathering.dimensions or count < 1:
                return []
            return gathering.nearest(asked, count)

    def vector(self, place: Place, id_: Id) -> Vector | None:
        """What was added, made one long, to five digits."""
        with self._lock:
            gathering = self._places.get(place)
            return None if gathering is None else gathering.vector(id_)

    @property
    def is_settled(self) -> bool:
        """Whether all graphs have caught up."""
        with self._lock:
            return not any(gathering.is_tended for gathering in self._places.values())

    def takes_long(self, place: Place) -> bool:
        """Whether `nearest` may take a millisecond or more there, and so belongs in a thread."""
        gathering = self._places.get(place)
        return gathering is not None and len(gathering) > _LONG_FROM and not gathering.has_followed

    def close(self) -> None:
        """No graph is brought up to date any more, but for the step under way; rows are still compared."""
        with self._lock:
            self._is_closed = True
            tending = self._tending
        if tending is not None:
            tending.shutdown(wait=False, cancel_futures=True)

    def _tend(self, gathering: Gathering[Id]) -> None:
        """See to it that the thread has a look, if there is anything for it to do."""
        if gathering.plan(self._graph_from) and not gathering.is_tended and not self._is_closed:
            if self._tending is None:
                self._tending = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vectors")
            gathering.is_tended = True
            self._tending.submit(self._follow, gathering)

    def _goes_on(self) -> bool:
        """Not where the interpreter ends without `close`: it would wait for the graph to be complete."""
        return not self._is_closed and threading.main_thread().is_alive()

    def _follow(self, gathering: Gathering[Id]) -> None:
        """In the thread: some rows at a time, so that nobody waits long."""
        try:
            while True:
                with self._lock:
                    step = gathering.next_step() if self._goes_on() else None
                    if step is None:
                        gathering.is_tended = False
                        return
                step.take()
                with self._lock:
                    step.graph.taken(step)
        except Exception:  # usearch's have nothing else in common
            log.exception("a graph of vectors cannot be built; all are compared")
            with self._lock:
                gathering.is_tended = False
                gathering.give_up()
