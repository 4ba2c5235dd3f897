from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.data_files import newest_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHIPPED = newest_table("prices").stem.removeprefix("prices-").encode()
HEAD = b'{"format":2,"date":"3000-01-01","unit":"u","sources":{},"providers":'
BROKEN = HEAD + b'{"openai":{"models":{"gpt-4o":{"source":"s","input":-1}}}}}'


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"{}", "is not a price table"),
        (BROKEN, "has a rate that cannot be: input -1"),
        (
            newest_table("prices").read_bytes().replace(SHIPPED, b"2020-01-01", 1),
            "is a table of 2020-01-01, older than the shipped",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_a_warning(
    content: bytes | None, found: str, problems: Callable[..., list[str]], tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "own.json").write_bytes(content)
    (problem,) = problems(prices="{file: own.json}")
    assert problem.startswith("4: prices.file: warning: ")
    assert found in problem


def test_a_good_table_is_none(problems: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "own.json").write_bytes(newest_table("prices").read_bytes())
    assert problems(prices="{file: own.json}") == []


def test_a_missing_table_leaves_other_checks_alone(problems: Callable[..., list[str]]) -> None:
    """A judge's price is looked up in the tables too."""
    found = problems(
        prices="{file: own.json}",
        routes="[{model: smart, targets: [gpt], cache: {semantic: {max_false_hits: 1%, shadow: {share: 1%}, "
        "judge: {deployment: gpt}}}}]",
    )
    assert sum("prices.file" in problem for problem in found) == 1
