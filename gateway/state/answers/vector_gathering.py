"""The vectors of one place: rows that can all be compared, and a graph over them where there are many."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from gateway.state.answers.vector_graph import Graph
from gateway.state.answers.vector_rows import Rows, coded

if TYPE_CHECKING:
    from gateway.embedding.embedder import Vector
    from gateway.state.answers.vector_graph import Step

Id = TypeVar("Id", bound=Hashable)

_WORN: Final = 4  # a graph that forgot this many times the rows it has is built anew: it never gets smaller
_ID_BYTES: Final = 130


class Gathering(Generic[Id]):
    """Its owner's lock guards it all. `is_tended`: a thread sees to its graph."""

    __slots__ = ("_graph", "_heir", "_ids", "_is_broken", "_row_of", "_rows", "is_tended")

    def __init__(self, dimensions: int) -> None:
        self._rows = Rows(dimensions)
        self._ids: list[Id] = []
        self._row_of: dict[Id, int] = {}
        self._graph: Graph | None = None
        self._heir: Graph | None = None  # under construction, to take the graph's place
        self._is_broken = False
        self.is_tended = False

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def dimensions(self) -> int:
        return self._rows.dimensions

    @property
    def size_bytes(self) -> int:
        graphs = sum(graph.size_bytes for graph in self._graphs())
        return self._rows.size_bytes + _ID_BYTES * len(self._ids) + graphs

    @property
    def has_followed(self) -> bool:
        """Whether a search need not compare all rows."""
        return self._graph is not None and self._graph.has_followed

    def add(self, id_: Id, vector: Vector) -> int:
        """How many there are more: none, where the id had one already."""
        before = len(self._ids)
        self.remove(id_)
        self._row_of[id_] = len(self._ids)
        self._ids.append(id_)
        self._rows.append(vector)
        for graph in self._graphs():
            graph.append()
        return len(self._ids) - before

    def remove(self, id_: Id) -> bool:
        row = self._row_of.pop(id_, None)
        if row is None:
            return False
        last = self._ids.pop()
        if row < len(self._ids):
            self._ids[row] = last
            self._row_of[last] = row
        self._rows.take_out(row)
        for graph in self._graphs():
            graph.take_out(row)
        return True

    def nearest(self, vector: Vector, count: int) -> list[tuple[Id, float]]:
        near = None if self._graph is None else self._graph.near(coded(vector)[0], count)
        found = self._rows.best(vector, count) if near is None else self._rows.compared(vector, near)[:count]
        return [(self._ids[row], cosine) for row, cosine in found]

    def vector(self, id_: Id) -> Vector | None:
        row = self._row_of.get(id_)
        return None if row is None else self._rows.vector(row)

    def plan(self, graph_from: int) -> bool:
        """Whether there is something to be done by `next_step`."""
        count = len(self._ids)
        if self._graph is None:
            if count >= graph_from and not self._is_broken:
                self._graph = Graph(self.dimensions, count)
        elif count < graph_from // 2:
            self._graph = self._heir = None
        elif self._heir is None and self._graph.removed > _WORN * count:
            self._heir = Graph(self.dimensions, count)
        return any(graph.is_behind for graph in self._graphs())

    def next_step(self) -> Step | None:
        """None when all graphs have caught up. To be taken in a thread, and then told of by `taken`."""
        if self._heir is not None and not self._heir.is_behind:
            self._graph, self._heir = self._heir, None
        for graph in self._graphs():
            step = graph.next_step(self._rows)
            if step is not None:
                return step
        return None

    def give_up(self) -> None:
        """No graph, now and later: all rows are compared."""
        self._graph = self._heir = None
        self._is_broken = True

    def _graphs(self) -> tuple[Graph, ...]:
        if self._graph is None:
            return ()
        return (self._graph,) if self._heir is None else (self._graph, self._heir)
