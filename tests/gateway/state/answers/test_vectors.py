from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.state.answers.store import Place
from gateway.state.answers.vector_graph import Graph
from gateway.state.answers.vectors import VectorIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gateway.embedding.embedder import Vector

DIMENSIONS = 24
HERE = Place("team:a/b", b"scope", "minilm")
PLACES = [HERE, HERE._replace(owner="team:a/c"), HERE._replace(scope=b"other"), HERE._replace(embedder="other")]


def clustered(count: int, seed: int = 7, dimensions: int = 384) -> NDArray[np.float32]:
    """Unit vectors around some centres, as questions are around topics."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((200, dimensions))
    vectors = centres[rng.integers(0, len(centres), count)] + 0.7 * rng.standard_normal((count, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def settle(index: VectorIndex[int], place: Place = HERE) -> None:
    """Until the graph there has all rows."""
    gathering = index._places[place]
    until_s = time.monotonic() + 60
    while gathering.is_tended:
        assert time.monotonic() < until_s
        time.sleep(0.001)


@pytest.fixture
def index() -> Iterator[VectorIndex[int]]:
    made: VectorIndex[int] = VectorIndex(graph_from=500)
    yield made
    made.close()


class SameAsComparingAll(RuleBasedStateMachine):
    """Below the size from which there are graphs, and above it, with graphs that lag behind."""

    graph_from = 1 << 30

    def __init__(self) -> None:
        super().__init__()
        self.index: VectorIndex[str] = VectorIndex(graph_from=self.graph_from)
        self.kept: dict[Place, dict[str, Vector]] = {place: {} for place in PLACES}

    places = st.sampled_from(PLACES)
    ids = st.integers(0, 30).map("e{}".format)
    seeds = st.integers(0, 1 << 16)

    def vector(self, seed: int) -> Vector:
        return np.asarray(clustered(1, seed, DIMENSIONS)[0], np.float32)

    @rule(place=places, id_=ids, seed=seeds)
    def add(self, place: Place, id_: str, seed: int) -> None:
        assert self.index.add(place, id_, self.vector(seed))
        self.kept[place][id_] = self.vector(seed)

    @rule(place=places, seed=seeds)
    def add_many(self, place: Place, seed: int) -> None:
        for number in range(12):
            self.add(place, f"e{(seed + number) % 30}", seed + number)

    @rule(place=places, id_=ids)
    def remove(self, place: Place, id_: str) -> None:
        assert self.index.remove(place, id_) == (self.kept[place].pop(id_, None) is not None)

    @rule(place=places)
    def drop(self, place: Place) -> None:
        self.index.drop(place)
        self.kept[place].clear()

    @rule(place=places, seed=seeds, count=st.integers(1, 12))
    def nearest(self, place: Place, seed: int, count: int) -> None:
        asked = self.vector(seed)
        cosines = {id_: float(vector @ asked) for id_, vector in self.kept[place].items()}
        found = self.index.nearest(place, asked, count)
        assert len({id_ for id_, _ in found}) == len(found) == min(count, len(cosines))
        for (id_, cosine), true in zip(found, sorted(cosines.values(), reverse=True), strict=False):
            assert abs(cosine - cosines[id_]) < 2e-5
            assert abs(cosine - true) < 4e-5

    @rule(place=places, id_=ids)
    def vector_of(self, place: Place, id_: str) -> None:
        found, kept = self.index.vector(place, id_), self.kept[place].get(id_)
        assert (found is None) == (kept is None)
        if found is not None and kept is not None:
            np.testing.assert_allclose(found, kept, atol=3e-5)

    @invariant()
    def counts(self) -> None:
        assert len(self.index) == self.index.count == sum(map(len, self.kept.values()))
        assert (self.index.size_bytes > 0) == (self.index.count > 0)

    def teardown(self) -> None:
        self.index.close()


class SameWithGraphs(SameAsComparingAll):
    graph_from = 6


TestRows = SameAsComparingAll.TestCase
TestGraphs = SameWithGraphs.TestCase
TestRows.settings = TestGraphs.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def recall(index: VectorIndex[int], kept: dict[int, Vector], queries: NDArray[np.float32]) -> float:
    ids, matrix = list(kept), np.stack(list(kept.values()))
    right = 0
    for asked in queries:
        best = {ids[row] for row in np.argsort(-(matrix @ asked))[:8]}
        found = {id_ for id_, _ in index.nearest(HERE, asked, 8)}
        assert found <= kept.keys()
        right += len(best & found)
    return right / (8 * len(queries))


def test_a_graph_finds_nearly_all_that_comparing_all_does_and_nothing_that_was_removed(
    index: VectorIndex[int],
) -> None:
    vectors = clustered(6_000)
    queries = clustered(100, seed=8)
    kept: dict[int, Vector] = {}
    for number, vector in enumerate(vectors[:3_000]):
        index.add(HERE, number, vector)
        kept[number] = vector
    settle(index)
    assert index._places[HERE].has_followed
    assert recall(index, kept, queries) >= 0.99
    rng = np.random.default_rng(3)
    for number, vector in enumerate(vectors[3_000:], 3_000):  # all but a few are replaced by others
        gone = int(rng.choice(list(kept)[:50]))
        assert index.remove(HERE, gone)
        del kept[gone]
        index.add(HERE, number, vector)
        kept[number] = vector
        if number % 200 == 0:
            assert recall(index, kept, queries[:5]) >= 0.9
    settle(index)
    assert recall(index, kept, queries) >= 0.99


def test_a_graph_that_forgot_much_is_built_anew_and_one_for_few_is_let_go(index: VectorIndex[int]) -> None:
    vectors = clustered(600)
    for number, vector in enumerate(vectors):
        index.add(HERE, number, vector)
    settle(index)
    first = index._places[HERE]._graph
    assert first is not None
    for number in range(3_000):  # each vector has five ids in turn
        index.remove(HERE, number)
        index.add(HERE, number + 600, vectors[number % 600])
    settle(index)
    second = index._places[HERE]._graph
    assert second is not None
    assert second is not first
    assert index.nearest(HERE, vectors[5], 1)[0][0] == 3_005
    for number in range(3_000, 3_400):
        index.remove(HERE, number)
    assert index._places[HERE]._graph is None
    assert index.nearest(HERE, vectors[500], 1)[0][0] == 3_500


def test_nobody_waits_while_a_graph_is_built(index: VectorIndex[int], monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, begun = threading.Event(), threading.Event()
    catch_up = Graph.catch_up

    def slow(graph: Graph, step: object) -> None:
        begun.set()
        assert goes_on.wait(10)
        catch_up(graph, step)  # type: ignore[arg-type]

    monkeypatch.setattr(Graph, "catch_up", slow)
    vectors = clustered(1_200)
    for number, vector in enumerate(vectors):
        index.add(HERE, number, vector)
    assert begun.wait(10)
    assert index.nearest(HERE, vectors[700], 1)[0][0] == 700
    assert index.remove(HERE, 700)
    assert index.remove(HERE, 0)
    assert 700 not in dict(index.nearest(HERE, vectors[700], 8))
    goes_on.set()
    settle(index)
    assert {0, 700}.isdisjoint(dict(index.nearest(HERE, vectors[0], 8) + index.nearest(HERE, vectors[700], 8)))


def test_where_no_graph_can_be_built_all_are_compared(
    index: VectorIndex[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_graph: Graph, _step: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Graph, "catch_up", fail)
    vectors = clustered(700)
    for number, vector in enumerate(vectors):
        index.add(HERE, number, vector)
    settle(index)
    assert len(caplog.records) <= 2
    assert "cannot be built" in caplog.text
    assert index.nearest(HERE, vectors[3], 1)[0][0] == 3
    index.add(HERE, 700, vectors[0])
    assert index._places[HERE]._graph is None


@pytest.mark.parametrize(
    "vector",
    [[0.0] * 384, [float("nan")] * 384, [float("inf")] + [0.0] * 383, [1.0] * 3, [], [[1.0] * 384]],
    ids=["zero", "NaN", "infinite", "shorter", "empty", "a matrix"],
)
def test_what_cannot_stand_beside_the_others_is_not_taken(index: VectorIndex[int], vector: list[float]) -> None:
    good = clustered(1)[0]
    assert index.add(HERE, 1, good)
    assert not index.add(HERE, 2, np.array(vector, np.float32))
    assert index.nearest(HERE, np.array(vector, np.float32), 4) == []
    assert [id_ for id_, _ in index.nearest(HERE, good, 4)] == [1]
    assert index.count == 1


def test_a_vector_of_another_length_is_compared_by_its_direction(index: VectorIndex[int]) -> None:
    vector = clustered(1)[0]
    index.add(HERE, 1, 40 * vector)
    ((_, cosine),) = index.nearest(HERE, 0.01 * vector, 1)
    assert abs(cosine - 1) < 1e-5


def test_what_may_take_long_is_said(index: VectorIndex[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.vectors._LONG_FROM", 600)
    monkeypatch.setattr("gateway.state.answers.vector_graph._LAG_MAX", 0)
    assert not index.takes_long(HERE)
    lock = index._lock
    vectors = clustered(700)
    for number, vector in enumerate(vectors):
        index.add(HERE, number, vector)
        if number == 650:
            with lock:
                assert index.takes_long(HERE)
    settle(index)
    assert not index.takes_long(HERE)


def test_memory_follows_what_is_there(index: VectorIndex[int]) -> None:
    vectors = clustered(400)
    for number, vector in enumerate(vectors):
        index.add(HERE, number, vector)
    full = index.size_bytes
    assert 400 * 800 < full < 400 * 2_000
    for number in range(390):
        index.remove(HERE, number)
    assert index.size_bytes < full / 10
    for number in range(390, 400):
        index.remove(HERE, number)
    assert (index.size_bytes, index._places) == (0, {})


def test_threads_may_add_remove_and_ask_at_once(index: VectorIndex[int]) -> None:
    vectors = clustered(800)
    problems: list[str] = []

    def work(first: int) -> None:
        for number in range(first, first + 200):
            index.add(HERE, number, vectors[number])
            if number % 3 == 0:
                index.remove(HERE, number)
            found = dict(index.nearest(HERE, vectors[number], 2))
            if (number in found) != (number % 3 != 0):
                problems.append(f"{number}: {found}")

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 800, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(index)
    assert problems == []
    assert index.count == sum(number % 3 != 0 for number in range(800))
