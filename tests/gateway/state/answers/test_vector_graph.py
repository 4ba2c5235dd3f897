from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from gateway.state.answers.vector_graph import Graph
from gateway.state.answers.vector_rows import Rows, coded

if TYPE_CHECKING:
    import pytest

DIMENSIONS = 16


class Followed:
    """Rows and their graph, as an owner keeps both."""

    def __init__(self, count: int) -> None:
        vectors = np.random.default_rng(5).standard_normal((count, DIMENSIONS)).astype(np.float32)
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.rows = Rows(DIMENSIONS)
        for vector in self.vectors:
            self.rows.append(vector)
        self.graph = Graph(DIMENSIONS, count)

    def step(self) -> bool:
        step = self.graph.next_step(self.rows)
        if step is not None:
            step.take()
            self.graph.taken(step)
        return step is not None

    def take_out(self, row: int) -> None:
        self.rows.take_out(row)
        self.graph.take_out(row)

    def near(self, number: int, count: int = 1) -> list[int] | None:
        return self.graph.near(coded(self.vectors[number])[0], count)


def test_it_takes_some_rows_at_a_time_until_it_has_all() -> None:
    followed = Followed(100)
    steps = 0
    while followed.step():
        steps += 1
    assert 5 < steps <= 100
    assert not followed.graph.is_behind
    near = followed.near(42)
    assert near is not None
    assert near[0] == 42


def test_what_it_lacks_is_among_what_it_names() -> None:
    followed = Followed(100)
    followed.step()
    near = followed.near(99)
    assert near is not None
    assert len(near) == len(set(near))
    assert {0, 99} <= set(near)


def test_one_that_is_far_behind_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.vector_graph._LAG_MAX", 60)
    followed = Followed(100)
    assert not followed.graph.has_followed
    assert followed.near(1) is None
    while followed.step():
        pass
    assert followed.graph.has_followed
    assert followed.near(1) is not None


def test_rows_that_go_while_they_are_taken_are_forgotten_after_all() -> None:
    followed = Followed(30)
    step = followed.graph.next_step(followed.rows)
    assert step is not None
    step.take()
    followed.take_out(2)  # row 29 is row 2 from now on
    followed.graph.taken(step)
    while followed.step():
        pass
    near = followed.near(29, 29)
    assert near is not None
    assert near[0] == 2
    assert sorted(near) == list(range(29))
    assert followed.graph.removed == 1
    assert followed.graph._index is not None
    assert len(followed.graph._index) == 29


def test_what_it_still_has_of_rows_that_are_gone_means_nothing() -> None:
    followed = Followed(60)
    while followed.step():
        pass
    for _ in range(40):
        followed.take_out(0)
    near = followed.near(5, 40)
    assert near is not None
    assert sorted(near) == list(range(20))


def test_rows_added_later_are_found_before_and_after_they_are_taken() -> None:
    followed = Followed(40)
    while followed.step():
        pass
    followed.rows.append(-followed.vectors[7])
    followed.graph.append()
    codes = coded(-followed.vectors[7])[0]
    assert 40 in (followed.graph.near(codes, 1) or [])
    while followed.step():
        pass
    assert (followed.graph.near(codes, 1) or [-1])[0] == 40
    assert followed.graph.size_bytes > 0


def test_an_embedder_that_is_loaded_after_a_graph_was_built_does_not_end_the_process() -> None:
    code = (
        "import numpy as np\n"
        "from gateway.state.answers.vector_graph import Graph\n"
        "from gateway.state.answers.vector_rows import Rows\n"
        "rows = Rows(8)\n"
        "rows.append(np.ones(8, np.float32) / np.sqrt(8).astype(np.float32))\n"
        "Graph(8, 1).next_step(rows).take()\n"
        "import onnxruntime"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr[-500:]) == (0, b"")
