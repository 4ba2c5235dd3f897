from __future__ import annotations

import pytest

from adapters.dialects import dialect_named


@pytest.mark.parametrize(
    ("dialect", "reasoning", "prompt", "opening", "answer"),
    [
        ("hermes", "think", "assistant\n<think>\n", "<think>", ("\n</think>\n\n", "")),
        ("hermes", "think", "assistant\n<think>\n\n</think>\n\n", "", ("", "")),
        ("hermes", "", "assistant\n<think>\n", "", ("", "")),
        ("harmony", "harmony", "<|start|>assistant", "", ("<|channel|>final<|message|>",) * 2),
        ("functionary", "", "assistant\n\n>>>", "", ("all\n", "all\n")),
    ],
)
def test_where_an_answer_begins(
    dialect: str, reasoning: str, prompt: str, opening: str, answer: tuple[str, str]
) -> None:
    known = dialect_named(dialect, reasoning)
    assert known.opening_of(prompt) == opening
    assert known.answer_opening(prompt) == answer


def test_all_marks_are_shown() -> None:
    marks = dialect_named("mistral_args", "brackets").marks
    assert {"[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"} <= set(marks)
