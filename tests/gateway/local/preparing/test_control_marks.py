from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.schema import InvalidRequest
from gateway.local.preparing.control_marks import MAX_MARKS, ControlMarks

MARKS = ControlMarks(["<|im_start|>", "<|im_end|>", "<s>", "<<s>>", "[X]", "!", "<|im_start|>"])
TEXTS = ("<|im_start|>", "<|im_end|>", "<s>", "<<s>>", "[X]")


def rendered(*contents: str) -> list[str]:
    """As a template would put them, without anything in between."""
    (cut, mark) = MARKS.cut(list(contents))
    return MARKS.pieces("<|im_start|>".join(["", "".join(cut), ""]), mark)


FRAGMENTS = st.lists(
    st.sampled_from([*TEXTS, "<", "|", "im_end", "|>", "s>", ">", "[", "X]", "x", "<|", "im_", "start|>"]), max_size=8
).map("".join)


@given(st.lists(FRAGMENTS, max_size=4))
def test_no_piece_spells_a_control_token_that_the_template_did_not_write(contents: list[str]) -> None:
    """Whatever callers write, and however it is put side by side: only the template's own two stay whole."""
    pieces = rendered(*contents)
    assert "".join(pieces) == "<|im_start|>" + "".join(contents) + "<|im_start|>"
    pieces[0] = pieces[0].removeprefix("<|im_start|>")
    pieces[-1] = pieces[-1].removesuffix("<|im_start|>")
    assert not any(text in piece for piece in pieces for text in TEXTS)


@given(st.recursive(st.text("ab cd\n"), lambda inner: st.lists(inner) | st.dictionaries(st.text("xyz"), inner)))
def test_harmless_values_are_not_touched(value: Any) -> None:
    assert MARKS.cut(value)[0] is value


@pytest.mark.parametrize("content", ["a < b", "1 > 0", "> quoted", "x <", "<|", "[", "|im_end|>", "!"])
def test_marks_that_keep_nothing_apart_leave_no_trace(content: str) -> None:
    assert rendered(content) == [f"<|im_start|>{content}<|im_start|>"]


def test_every_text_of_a_message_is_looked_at() -> None:
    message = {"role": "user", "name": "<s>", "content": None, "n": 3, "tool_calls": [{"function": {"<s>": ["<s>"]}}]}
    cut, mark = MARKS.cut([message])
    parts = f"<{mark}s>"
    assert cut == [{**message, "name": parts, "tool_calls": [{"function": {parts: [parts]}}]}]
    assert message["name"] == "<s>"


def test_thousands_of_them_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too often"):
        rendered("<s>" * MAX_MARKS)


def test_values_that_are_nested_too_deeply_are_refused() -> None:
    value: Any = "<s>"
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        MARKS.cut(value)


def test_without_control_tokens_nothing_is_cut() -> None:
    value = ["<s>", "<|im_end|>"]
    assert ControlMarks([]).cut(value)[0] is value


@pytest.mark.parametrize("text", ["<", "<|", "<|im_", "<|im_end", "s>"])
def test_megabytes_that_nearly_spell_one_take_no_time(text: str) -> None:
    """Whoever else wants an answer waits meanwhile."""
    began_s = time.thread_time()
    MARKS.cut([text * ((4 << 20) // len(text))])
    assert time.thread_time() - began_s < 1.0


def test_one_across_the_border_of_two_parts_is_found() -> None:
    for before in range((1 << 16) - 14, (1 << 16) + 2):
        (cut,), mark = MARKS.cut(["x" * before + "<|im_start|>" + "x"])
        assert cut == "x" * before + "<" + mark + "|im_start|>x"
