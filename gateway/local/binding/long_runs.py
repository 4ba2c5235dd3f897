"""Texts cut where llama.cpp's tokenizers would run out of stack.

For some vocabularies they split text with regular expressions of the C++ library, which call themselves once for every
character of a match: thirty thousand exclamation marks in a row end the process. A run of that kind is cut into parts
that are tokenized one by one; no text that anybody reads is touched.

And they look for control tokens in a time that grows with the square of how many there are: ten seconds for a
conversation of sixteen thousand messages. Right before such a token a text may be cut without a trace.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

MAX_RUN_CHARS: Final = 8_000
MARKS_TOGETHER: Final = 64
_RUNS = re.compile(r"\S+|\s+")
_GAPS = re.compile(r"\s\s+")


def cut_long_runs(text: str, marks: tuple[str, ...]) -> list[str]:
    """The text in parts of few marks, without long runs of either blanks or anything else. No mark is cut in two."""
    if len(text) <= MAX_RUN_CHARS:
        return [text]
    return [part for piece in _with_few_marks(text, marks) for part in _without_long_runs(piece, marks)]


def _with_few_marks(text: str, marks: tuple[str, ...]) -> list[str]:
    if not marks:
        return [text]
    starts = [found.start() for found in _any_of(marks).finditer(text)]
    borders = [0, *(start for start in starts[MARKS_TOGETHER::MARKS_TOGETHER] if start), len(text)]
    return [text[start:end] for start, end in pairwise(borders)]


@lru_cache(8)
def _any_of(marks: tuple[str, ...]) -> re.Pattern[str]:
    """The longest of them wherever one begins."""
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))


def _without_long_runs(text: str, marks: tuple[str, ...]) -> list[str]:
    if not _has_long_run(text):
        return [text]
    longest = max(map(len, marks), default=0)
    borders = [0]
    for run in _RUNS.finditer(text):
        for at in range(run.start() + MAX_RUN_CHARS, run.end(), MAX_RUN_CHARS):
            spanning = [start for start in range(max(0, at - longest + 1), at) if _ends_after(text, start, at, marks)]
            borders.append(max(borders[-1], min(spanning, default=at)))
    borders.append(len(text))
    return [text[start:end] for start, end in pairwise(borders) if end > start]


def _has_long_run(text: str) -> bool:
    words = max(map(len, text.split()), default=0)
    return max(words, max(map(len, _GAPS.findall(text)), default=0)) > MAX_RUN_CHARS


def _ends_after(text: str, start: int, at: int, marks: tuple[str, ...]) -> bool:
    return text.startswith(marks, start) and any(
        start + len(mark) > at for mark in marks if text.startswith(mark, start)
    )
