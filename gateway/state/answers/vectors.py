"""The nearest of stored questions, in this process: vectors by the place where they may be found.

Each place (an owner's entries of one scope and embedder) is an index of its own, so that nothing is ever found from
another place, and most are small enough to be compared one by one. A place with many gets a graph beside its rows.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.state.answers.vector_rows import Rows, unit

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector
    from gateway.state.answers.store import Place

Id = TypeVar("Id", bound=Hashable)


class VectorIndex(Generic[Id]):
    """For any thread. `count` is how many vectors there are, in all places."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Place, _Gathered[Id]] = {}
        self.count = 0

    def __len__(self) -> int:
        return self.count

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(gathered.size_bytes for gathered in self._places.values())

    def add(self, place: Place, id_: Id, vector: Vector) -> bool:
        """In place of the id's last vector there. False for a vector that cannot stand beside the others there."""
        ready = unit(vector)
        if ready is None:
            return False
        with self._lock:
            gathered = self._places.get(place)
            if gathered is None:
                gathered = self._places[place] = _Gathered(len(ready))
            if gathered.rows.dimensions != len(ready):
                return False
            self.count += gathered.add(id_, ready)
            return True

    def remove(self, place: Place, id_: Id) -> bool:
        """Whether it was there. It is found no more."""
        with self._lock:
            gathered = self._places.get(place)
            if gathered is None or not gathered.remove(id_):
                return False
            self.count -= 1
            if not gathered.ids:
                del self._places[place]
            return True

    def drop(self, place: Place) -> None:
        with self._lock:
            gathered = self._places.pop(place, None)
            self.count -= len(gathered.ids) if gathered else 0

    def nearest(self, place: Place, vector: Vector, count: int) -> list[tuple[Id, float]]:
        """Ids and cosines, best first."""
        asked = unit(vector)
        with self._lock:
            gathered = self._places.get(place)
            if gathered is None or asked is None or len(asked) != gathered.rows.dimensions or count < 1:
                return []
            return [(gathered.ids[row], cosine) for row, cosine in gathered.rows.best(asked, count)]

    def vector(self, place: Place, id_: Id) -> Vector | None:
        with self._lock:
            gathered = self._places.get(place)
            row = gathered.row_of.get(id_) if gathered else None
            return None if gathered is None or row is None else gathered.rows.vector(row)

    def takes_long(self, place: Place) -> bool:
        """Whether `nearest` may take more than a millisecond there, and so belongs in a thread."""
        gathered = self._places.get(place)
        return gathered is not None and len(gathered.ids) > 30_000

    def close(self) -> None:
        """Nothing is waited for any more."""


class _Gathered(Generic[Id]):
    """The vectors of one place."""

    __slots__ = ("ids", "row_of", "rows")

    def __init__(self, dimensions: int) -> None:
        self.rows = Rows(dimensions)
        self.ids: list[Id] = []
        self.row_of: dict[Id, int] = {}

    @property
    def size_bytes(self) -> int:
        return 700 + self.rows.size_bytes + 130 * len(self.ids)

    def add(self, id_: Id, vector: Vector) -> int:
        """How many there are more."""
        before = len(self.ids)
        self.remove(id_)
        self.row_of[id_] = len(self.ids)
        self.ids.append(id_)
        self.rows.append(vector)
        return len(self.ids) - before

    def remove(self, id_: Id) -> bool:
        row = self.row_of.pop(id_, None)
        if row is None:
            return False
        last = self.ids.pop()
        if row < len(self.ids):
            self.ids[row] = last
            self.row_of[last] = row
        self.rows.take_out(row)
        return True
