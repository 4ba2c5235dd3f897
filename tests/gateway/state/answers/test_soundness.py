from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from gateway.state.answers.soundness import TTL_MAX_S, is_sound, is_sound_record
from gateway.state.answers.store import Record, Used
from tests.answer_store_suite import Asked

ENTRY = Asked().entry(1_800_000_000.0, tags=("a",))


def test_what_a_gateway_makes_is_sound() -> None:
    assert is_sound(ENTRY)
    assert is_sound(msgspec.structs.replace(ENTRY, near=b"", question="", headers=(), tags=(), used=Used()))
    assert is_sound_record(Record(1, 2, 3))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("id", ""), ("id", "a b"), ("id", "a\n"), ("id", "x" * 200), ("owner", ""), ("owner", "a\x00b"),
        ("route", "r" * 2_000), ("model", "\x1b[31m"), ("scope", b""), ("exact", b"short"), ("near", b"short"),
        ("question", "q" * ((1 << 20) + 1)), ("headers", (("", "v"),)), ("headers", (("n", "a\r\nb: c"),)),
        ("headers", (("n", "v"),) * 100), ("tags", ("t",) * 100), ("tags", ("\n",)), ("expires_at_s", math.nan),
        ("expires_at_s", math.inf), ("stored_at_s", math.nan), ("stored_at_s", -math.inf), ("stored_at_s", 1e15),
        ("expires_at_s", ENTRY.stored_at_s + TTL_MAX_S + 1.0), ("expires_at_s", ENTRY.stored_at_s - 1.0),
        ("used", Used(-1)), ("used", Used(cost_nanousd=-1)), ("used", Used(output_tokens=1 << 63)),
        ("used", Used(cost_nanousd=1 << 62)),
        ("request_id", "a\nb"), ("embedder", "a\nb"), ("endpoint", "\n"), ("deployment", "\n"),
    ],
)  # fmt: skip
def test_what_no_gateway_makes_is_not(part: str, value: Any) -> None:
    assert not is_sound(msgspec.structs.replace(ENTRY, **{part: value}))


@pytest.mark.parametrize("record", [Record(-1), Record(0, -1), Record(0, 0, -1), Record(1 << 63)])
def test_counts_count(record: Record) -> None:
    assert not is_sound_record(record)
