"""The labelled sets beside the checkout. They are for evaluation only: nothing of them is part of the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).resolve().parents[2].parent / "shared" / "data"
STREAMS: Final = ("qqpclean", "banking77")


class Question(NamedTuple):
    """`answer`: questions with the same number want the same answer."""

    text: str
    answer: int


class Pair(NamedTuple):
    """Two questions, and whether the answer to one will do for the other. `category` says how they were made."""

    one: str
    other: str
    same: bool
    category: str


class Chats(NamedTuple):
    """Two conversations whose last message is the same; `same`: whether the answer will do for both."""

    one: list[dict[str, Any]]
    other: list[dict[str, Any]]
    same: bool


def missing() -> str | None:
    """Why nothing can be measured here."""
    return None if FOLDER.is_dir() else f"no labelled data at {FOLDER}"


def stream(name: str) -> list[Question]:
    return [Question(row["query"], row["cls"]) for row in _rows(f"semcache_stream_{name}_dev.jsonl")]


def traps() -> list[Pair]:
    rows = _rows("semcache_traps_dev.jsonl")
    return [Pair(row["a"], row["b"], row["same"], row["category"]) for row in rows]


def chats() -> list[Chats]:
    return [Chats(row["a"], row["b"], row["same"]) for row in _rows("semcache_multiturn_dev.jsonl")]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]
