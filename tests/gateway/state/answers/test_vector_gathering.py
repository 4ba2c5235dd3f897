from __future__ import annotations

import numpy as np
import pytest

from gateway.state.answers.vector_gathering import Gathering


def vectors(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    made = np.random.default_rng(9).standard_normal((count, 32))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def gathering(count: int) -> Gathering[str]:
    made: Gathering[str] = Gathering(32)
    for number, vector in enumerate(vectors(count)):
        made.add(f"e{number}", vector)
    return made


def follow(gathered: Gathering[str]) -> int:
    steps = 0
    while (step := gathered.next_step()) is not None:
        step.take()
        step.graph.taken(step)
        steps += 1
    return steps


def test_an_id_has_one_vector_the_last() -> None:
    some = vectors(3)
    gathered = gathering(2)
    assert (gathered.add("e0", some[2]), gathered.add("e2", some[0])) == (0, 1)
    assert len(gathered) == 3
    assert [id_ for id_, _ in gathered.nearest(some[0], 1)] == ["e2"]
    assert [id_ for id_, _ in gathered.nearest(some[2], 1)] == ["e0"]
    assert gathered.vector("e9") is None


@pytest.mark.parametrize(("count", "has_work"), [(9, False), (10, True)])
def test_from_a_number_of_vectors_on_there_is_a_graph_to_build(count: int, has_work: bool) -> None:  # noqa: FBT001 - a table
    gathered = gathering(count)
    assert gathered.plan(10) == has_work
    assert (follow(gathered) > 0) == has_work
    assert gathered.has_followed == has_work
    assert not gathered.plan(10)


def test_a_graph_follows_what_is_added_and_removed() -> None:
    some = vectors(60)
    gathered = gathering(40)
    assert gathered.plan(10)
    follow(gathered)
    size_bytes = gathered.size_bytes
    for number in range(40, 60):
        gathered.add(f"e{number}", some[number])
    for number in range(20):
        assert gathered.remove(f"e{number}")
        assert not gathered.remove(f"e{number}")
    assert gathered.plan(10)
    for _ in range(2):
        assert [gathered.nearest(vector, 1)[0][0] for vector in some[20:]] == [f"e{n}" for n in range(20, 60)]
        assert not {f"e{n}" for n in range(20)} & {id_ for vector in some for id_, _ in gathered.nearest(vector, 40)}
        follow(gathered)
    assert gathered.size_bytes >= size_bytes


def test_few_are_left_without_a_graph_and_one_that_failed_is_not_tried_again() -> None:
    gathered = gathering(20)
    gathered.plan(10)
    follow(gathered)
    for number in range(16):
        gathered.remove(f"e{number}")
    assert not gathered.plan(10)
    assert not gathered.has_followed
    failed = gathering(20)
    failed.plan(10)
    failed.give_up()
    assert not failed.plan(10)
    assert failed.nearest(vectors(20)[3], 1)[0][0] == "e3"


def test_a_worn_graph_serves_until_its_heir_is_complete() -> None:
    some = vectors(20)
    gathered = gathering(20)
    gathered.plan(10)
    follow(gathered)
    for turn in range(5):
        for number, vector in enumerate(some):
            gathered.remove(f"e{number}")
            gathered.add(f"e{number}", vector)
            if turn < 4:
                gathered.plan(10)
    worn = gathered._graph
    assert gathered.plan(10)
    assert gathered._heir is not None
    assert gathered.nearest(some[4], 1)[0][0] == "e4"
    heir = gathered._heir
    follow(gathered)
    assert worn is not heir
    assert gathered._graph is heir
    assert gathered._heir is None
    assert gathered.nearest(some[4], 1)[0][0] == "e4"
