from __future__ import annotations

import pytest

from adapters.usage_fields import TOKENS_BELIEVED, count, details_in, first


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (7, 7), (7.0, 7), (7.5, None), (-1, None), (True, None), ("7", None), (None, None), (float("nan"), None),
     (TOKENS_BELIEVED, TOKENS_BELIEVED), (TOKENS_BELIEVED + 1, None), ([7], None)],
)  # fmt: skip
def test_a_count_is_a_whole_number_that_can_be_believed(value: object, expected: int | None) -> None:
    assert count(value) == expected


def test_the_first_count_and_the_first_object_are_taken() -> None:
    assert first({"a": "x", "b": 3, "c": 4}, "missing", "a", "b", "c") == 3
    assert first({"a": None}, "a") is None
    assert details_in({"a": 1, "b": {"c": 2}}, "a", "b") == {"c": 2}
    assert details_in({"a": 1}, "a") == {}
