"""A graph beside the rows of a place with many vectors, so that a question is compared with some hundreds of them only.

usearch's HNSW over the coarse rows. It follows the rows: a thread brings it up to date, and until then who asks is told
what it lacks. What it names are numbers that are never used twice, so that what it still has of rows that are gone
means nothing to anybody.
"""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from usearch.index import Index

    from gateway.state.answers.vector_rows import Rows

_CONNECTIVITY: Final = 16
_EXPANSION_ADD: Final = 128  # candidates kept while a row is taken: with 64 a search misses one in a hundred
_EXPANSION_SEARCH: Final = 96
_SPARE: Final = 16  # beyond those asked for: the order of coarse rows is nearly the true one
_LAG_MAX: Final = 1024  # more changes than this are not worth making up for in a search
_STEP: Final = 8  # rows taken at a time: a millisecond or so
_NUMBER_BYTES: Final = 150


class Step(NamedTuple):
    """What a graph is given next, and what it has to forget."""

    graph: Graph
    numbers: list[int]
    codes: NDArray[np.int8]
    outlived: list[int]

    def take(self) -> None:
        """In a thread, and without the owner's lock."""
        self.graph.catch_up(self)


class Graph:
    """All but `catch_up` belongs under the owner's lock. `removed` counts what it was told to forget."""

    def __init__(self, dimensions: int, count: int) -> None:
        self._dimensions = dimensions
        self._index: Index | None = None  # made in the thread, which imports usearch
        self._lock = threading.Lock()  # usearch bears no two calls at once, not even to be asked for its size
        self._index_bytes = 0
        self._numbers = list(range(count))
        self._row_of = dict(enumerate(self._numbers))
        self._lacking = dict.fromkeys(self._numbers)
        self._outlived: list[int] = []
        self._next = count
        self.removed = 0

    @property
    def is_behind(self) -> bool:
        return bool(self._lacking or self._outlived)

    @property
    def has_followed(self) -> bool:
        """Whether a search makes up for what it lacks."""
        return len(self._lacking) + len(self._outlived) <= _LAG_MAX

    @property
    def size_bytes(self) -> int:
        return self._index_bytes + _NUMBER_BYTES * len(self._numbers)

    def append(self) -> None:
        """There is one row more."""
        number, self._next = self._next, self._next + 1
        self._row_of[number] = len(self._numbers)
        self._numbers.append(number)
        self._lacking[number] = None

    def take_out(self, row: int) -> None:
        """That row is gone, and the last one has its place."""
        number, last = self._numbers[row], self._numbers.pop()
        if number != last:
            self._numbers[row] = last
            self._row_of[last] = row
        del self._row_of[number]
        self.removed += 1
        if number in self._lacking:
            del self._lacking[number]
        else:
            self._outlived.append(number)

    def near(self, codes: NDArray[np.int8], count: int) -> list[int] | None:
        """Rows among which the nearest are; None where the graph cannot tell."""
        if not self.has_followed:
            return None
        wanted = count + _SPARE
        index = self._index
        if index is None:
            return None
        with self._lock:
            found = index.search(codes, wanted + len(self._outlived), threads=1)
        # Rows that are being taken at this moment may be in both.
        numbers = {number: None for number in found.keys.tolist() if number in self._row_of} | self._lacking
        if len(numbers) < min(wanted, len(self._numbers)):
            return None
        return [self._row_of[number] for number in numbers]

    def next_step(self, rows: Rows) -> Step | None:
        """None when there is nothing to do."""
        if not self.is_behind:
            return None
        numbers = list(islice(self._lacking, _STEP))
        outlived, self._outlived = self._outlived[: 4 * _STEP], self._outlived[4 * _STEP :]
        return Step(self, numbers, rows.codes([self._row_of[number] for number in numbers]), outlived)

    def catch_up(self, step: Step) -> None:
        """Searches wait meanwhile."""
        import numpy as np  # noqa: PLC0415 - heavy, and part of an extra

        index = self._index or _new_index(self._dimensions)
        with self._lock:
            for number in step.outlived:
                index.remove(number)
            if step.numbers:
                index.add(np.array(step.numbers, np.uint64), step.codes, threads=1)
            self._index_bytes = int(index.memory_usage)
        self._index = index

    def taken(self, step: Step) -> None:
        """The step was taken; rows that went meanwhile are now to be forgotten."""
        for number in step.numbers:
            if number in self._lacking:
                del self._lacking[number]
            else:
                self._outlived.append(number)


def _new_index(dimensions: int) -> Index:
    # usearch brings a C++ library of its own, and whoever imports onnxruntime after it ends in a segmentation fault.
    with suppress(ImportError):
        importlib.import_module("onnxruntime")
    from usearch.index import Index  # noqa: PLC0415 - heavy, and part of an extra

    return Index(
        ndim=dimensions,
        metric="cos",
        dtype="i8",
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
        expansion_search=_EXPANSION_SEARCH,
    )
