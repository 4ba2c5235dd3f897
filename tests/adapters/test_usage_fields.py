from __future__ import annotations

import pytest

from adapters.usage_fields import TOKENS_BELIEVED, count, cut_to_whole, details_in, first, not_believed
from policies.usage import Correction, Usage, UsageDetails


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


def test_each_count_that_was_not_believed_has_a_word() -> None:
    value = {
        "prompt_tokens": 9,
        "completion_tokens": -1,
        "total_tokens": float("inf"),
        "prompt_tokens_details": {
            "cached_tokens": TOKENS_BELIEVED + 1,
            "cached_tokens_details": {"audio_tokens": -7.0},
        },
        "anything": {"at": {"all": {"so_deep": {"cached_tokens": -1}}}},
        "reasoning_tokens": True,
        "cached_tokens": float("nan"),
        "input_tokens": "-1",
        "tokens_left": -1,
    }
    found = list(not_believed(value))
    assert found == [Correction.NEGATIVE, Correction.TOO_LARGE, Correction.TOO_LARGE, Correction.NEGATIVE]


def test_no_part_is_above_its_whole_and_what_was_is_said() -> None:
    usage = Usage(10, 5, 4, 6, 5, details=UsageDetails(searches=1))
    assert cut_to_whole(usage, ()) is usage
    cut = cut_to_whole(usage._replace(cached_input_tokens=11, reasoning_tokens=6), (Correction.NEGATIVE,))
    why = (Correction.NEGATIVE, *[Correction.PART_ABOVE_WHOLE] * 3)
    assert cut == Usage(10, 5, 10, 0, 5, details=UsageDetails(searches=1, corrected=why))
