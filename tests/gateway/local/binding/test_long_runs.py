from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.local.binding.long_runs import MARKS_TOGETHER, MAX_RUN_CHARS, cut_long_runs

MARK = "<|im_end|>"
RUN = st.tuples(st.sampled_from(["a", "!", " ", "\n", "\N{SNOWMAN}", MARK]), st.integers(1, 2 * MAX_RUN_CHARS)).map(
    lambda two: two[0] * two[1]
)


@given(st.lists(RUN, max_size=4))
def test_no_part_holds_a_long_run_and_together_they_are_the_text(runs: list[str]) -> None:
    text = "".join(runs)
    parts = cut_long_runs(text, (MARK,))
    assert "".join(parts) == text
    longest = max((len(run) for part in parts for run in re.findall(r"\S+|\s+", part)), default=0)
    assert longest <= MAX_RUN_CHARS + len(MARK)
    assert sum(part.count(MARK) for part in parts) == text.count(MARK)


@pytest.mark.parametrize("text", ["", "a" * MAX_RUN_CHARS, "word " * 10_000, "\n" * MAX_RUN_CHARS])
def test_texts_that_people_write_stay_whole(text: str) -> None:
    assert cut_long_runs(text, (MARK,)) == [text]


def test_looking_takes_no_longer_than_the_text_is_long() -> None:
    began_s = time.thread_time()
    for kind in ("a" * (MAX_RUN_CHARS - 1) + " ", " " * (MAX_RUN_CHARS - 1) + "a", "!" * 100_000, "ab "):
        cut_long_runs(kind * (1_000_000 // len(kind)), (MARK,))
    assert time.thread_time() - began_s < 5.0


def test_thousands_of_marks_are_cut_apart_without_a_trace() -> None:
    """llama.cpp's time for them grows with the square of their number."""
    text = "".join(f"<|im_start|>user\n{number}<|im_end|>\n" for number in range(2000))
    parts = cut_long_runs(text, ("<|im_start|>", "<|im_end|>", "<|"))
    assert "".join(parts) == text
    assert all(part.startswith("<|im_") for part in parts)
    assert max(part.count("<|im_") for part in parts) == MARKS_TOGETHER


def test_a_short_text_of_many_marks_stays_whole() -> None:
    text = "<s>" * 100
    assert cut_long_runs(text, ("<s>",)) == [text]
