from __future__ import annotations

from pathlib import Path

import pytest

from gateway.__main__ import parser


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["stats"], {"act": "cache stats"}),
        (["drop", "--tag", "a"], {"act": "cache drop", "tag": "a", "all": False}),
        (["export", "--out", "f"], {"act": "cache export", "out": Path("f")}),
        (["import", "f"], {"act": "cache import", "file": Path("f")}),
        (["explain", "a", "b", "--config", "p"], {"requests": ["a", "b"], "config": Path("p"), "similarity": None}),
        (["calibrate", "f", "--entities"], {"file": Path("f"), "budget": 0.01, "entities": True}),
        (["warm", "f", "--config", "p", "--model", "m", "--out", "o"], {"model": "m", "key": None, "system": None}),
    ],
)
def test_the_words_of_caches(words: list[str], told: dict[str, object]) -> None:
    arguments = parser().parse_args(["cache", *words])
    assert {name: getattr(arguments, name) for name in told} == told


@pytest.mark.parametrize("words", [[], ["export"], ["explain", "a", "b"], ["calibrate"], ["warm", "f"], ["clear"]])
def test_what_is_left_out_is_told(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["cache", *words])
    assert ended.value.code == 2
