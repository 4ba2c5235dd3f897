from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.answers.vector_bytes import DIMENSIONS_MAX, from_bytes, to_bytes
from tests.answer_store_suite import DIMENSIONS, direction


def test_a_vector_is_read_as_it_was_written() -> None:
    found = from_bytes(to_bytes(direction(1)))
    assert found is not None
    assert found.dtype == np.float32
    assert np.abs(found - direction(1)).max() < 0.001
    assert float(np.linalg.norm(found)) == pytest.approx(1.0, abs=1e-6)
    assert len(to_bytes(direction(1))) == 2 * DIMENSIONS


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00\x00", np.ones(4, "<f2").tobytes(), np.full(4, np.nan, "<f2").tobytes(),
     np.full(4, np.inf, "<f2").tobytes(), np.full(DIMENSIONS_MAX + 1, 0.007_8, "<f2").tobytes()],
)  # fmt: skip
def test_what_is_no_vector_of_length_one_is_none(data: bytes) -> None:
    assert from_bytes(data) is None


@given(st.binary(max_size=64))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    found = from_bytes(data)
    assert found is None or float(np.linalg.norm(found)) == pytest.approx(1.0, abs=1e-5)


def test_without_numpy_there_are_no_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    data = to_bytes(direction(1))
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert from_bytes(data) is None
