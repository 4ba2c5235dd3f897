from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.answers.vector_rows import Rows, coded, unit

Numbers = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=32)


def random_units(count: int, seed: int = 1, dimensions: int = 384) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@given(Numbers)
def test_what_has_a_direction_is_made_one_long(numbers: list[float]) -> None:
    vector = unit(numbers)
    length = float(np.linalg.norm(np.array(numbers, np.float64)))
    assert (vector is not None) == (length > 1e-6)
    if vector is not None:
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
        np.testing.assert_allclose(vector * length, numbers, atol=2e-6 * length)


@given(Numbers)
def test_a_row_gives_back_what_was_written(numbers: list[float]) -> None:
    vector = unit(numbers)
    if vector is None:
        return
    rows = Rows(len(vector))
    rows.append(vector)
    largest = float(np.abs(vector).max())
    np.testing.assert_allclose(rows.vector(0), vector, atol=largest / 127 / 254)
    codes, scale = coded(vector)
    assert codes.dtype == np.int8
    np.testing.assert_allclose(codes * scale, vector, atol=largest / 127 * 0.51)


def test_the_best_are_those_of_plain_arithmetic_to_five_digits() -> None:
    vectors, rows = random_units(3_000), Rows(384)
    for vector in vectors:
        rows.append(vector)
    for asked in random_units(50, seed=2):
        cosines = vectors @ asked
        found = rows.best(asked, 8)
        assert [row for row, _ in found] == np.argsort(-cosines)[:8].tolist()
        np.testing.assert_allclose([cosine for _, cosine in found], np.sort(cosines)[::-1][:8], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_no_more_are_found_than_there_are(count: int) -> None:
    rows = Rows(384)
    for vector in random_units(count) if count else ():
        rows.append(vector)
    assert len(rows.best(random_units(1)[0], 50)) == count


def test_a_cosine_is_never_above_one() -> None:
    rows = Rows(384)
    for vector in random_units(200):
        rows.append(vector)
        assert rows.best(vector, 1)[0][1] <= 1.0


def test_the_last_row_takes_the_place_of_one_that_goes_and_memory_shrinks() -> None:
    vectors, rows = random_units(100), Rows(384)
    for vector in vectors:
        rows.append(vector)
    full = rows.size_bytes
    rows.take_out(3)
    np.testing.assert_allclose(rows.vector(3), vectors[99], atol=1e-5)
    rows.take_out(98)
    assert rows.count == 98
    while rows.count:
        rows.take_out(0)
    assert rows.size_bytes <= full / 64
    rows.append(vectors[0])
    np.testing.assert_allclose(rows.vector(0), vectors[0], atol=1e-5)
