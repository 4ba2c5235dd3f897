from __future__ import annotations

import pytest

from adapters.base import Tally
from adapters.openai_text import TEXT_KEPT_BYTES, Delta, TextKeeper, add_delta, mended

DELTAS = {
    "text": (Delta(content="Hi"), True, "Hi"),
    "a role only": (Delta(), False, ""),
    "empty text": (Delta(content=""), False, ""),
    "reasoning_content": (Delta(content=None, reasoning_content="hm"), True, "hm"),
    "reasoning": (Delta(content="", reasoning="hm"), True, "hm"),
    "both spellings": (Delta(reasoning="hm", reasoning_content="hm"), True, "hm"),
    "refusal": (Delta(refusal="no"), True, "no"),
    "tool call": (Delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}]), True, "f{}"),
    "custom tool": (Delta(tool_calls=[{"custom": {"name": "f", "input": "x"}}]), True, "fx"),
    "no tool calls": (Delta(tool_calls=[]), False, ""),
    "function call": (Delta(function_call={"name": "f", "arguments": "{"}), True, "f{"),
    "audio": (Delta(audio={"data": "AAAA"}), True, ""),
    "parts": (Delta(content=[{"type": "text", "text": "Hi"}]), True, "Hi"),
    "thinking": (Delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), True, "hm"),
    "nonsense": (Delta(content=7, tool_calls={"a": 1}, refusal=[1], function_call="x"), True, ""),
    "nonsense inside": (Delta(content=[7, None, {"text": None}], tool_calls=[None, {"function": 1}]), True, ""),
}


@pytest.mark.parametrize(("delta", "is_content", "text"), DELTAS.values(), ids=DELTAS)
def test_content_is_told_from_a_mere_role(delta: Delta, *, is_content: bool, text: str) -> None:
    tally = Tally()
    assert add_delta(TextKeeper(tally), delta) is is_content
    assert "".join(tally.text) == text


def test_text_is_kept_in_order_up_to_a_bound_and_counted_beyond() -> None:
    tally = Tally()
    keeper = TextKeeper(tally)
    pieces = [f"{number} " for number in range(100_000)]
    for piece in pieces:
        keeper.add(piece)
    whole = "".join(pieces)
    assert "".join(tally.text) == whole[:TEXT_KEPT_BYTES]
    assert tally.text_dropped_chars == len(whole) - TEXT_KEPT_BYTES
    assert len(tally.text) < 1000


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (b'"plain"', b'"plain"'),
        ('"Grüße 🐈"'.encode(), '"Grüße 🐈"'.encode()),
        (b'"a\xffb"', '"a\ufffdb"'.encode()),
        (b'"\\ud83d\\ude00"', b'"\\ud83d\\ude00"'),
        (b'"\\ud83d"', b'"\\ufffd"'),
        (b'"\\ude00 \\uD83D"', b'"\\ufffd \\ufffd"'),
        (b'"\\\\ud83d"', b'"\\\\ud83d"'),
        (b'"\\\\\\ud83d"', b'"\\\\\\ufffd"'),
        (b'"\\ud83d\\ud83d\\ude00"', b'"\\ufffd\\ud83d\\ude00"'),
    ],
)
def test_broken_text_is_mended_and_sound_text_is_left_alone(body: bytes, whole: bytes) -> None:
    assert mended(body) == whole


@pytest.mark.parametrize(
    ("deltas", "pieces", "more"),
    [
        ([Delta(content="Hi"), Delta(), Delta(content=""), Delta(content="!")], 2, False),
        ([Delta(content="Hi"), Delta(reasoning="hm")], 2, True),
        ([Delta(content=[{"type": "text", "text": "Hi"}])], 1, True),
        ([Delta(tool_calls=[{"function": {"name": "f"}}])], 1, True),
        ([Delta(audio={"data": "AAAA"})], 0, True),
    ],
)
def test_pieces_of_text_are_counted_apart_from_more_than_text(deltas: list[Delta], pieces: int, *, more: bool) -> None:
    keeper = TextKeeper(Tally())
    for delta in deltas:
        add_delta(keeper, delta)
    assert (keeper.pieces, keeper.has_more_than_text) == (pieces, more)
