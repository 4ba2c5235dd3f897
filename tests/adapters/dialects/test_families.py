from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects import DIALECTS, dialect_named, dialect_of
from tests.adapters.dialects.said import Message, read

GOLDEN = Path(__file__).parents[1] / "golden" / "dialects"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}-{number}")
    for path in sorted(GOLDEN.glob("*.json"))
    for number, case in enumerate(json.loads(path.read_text()))
]


def message_of(dialect: str, case: dict[str, Any], cuts: Any = ()) -> Message:
    options = {name: case[name] for name in ("reasoning", "opening", "forced") if name in case}
    return read(dialect, case["written"], cuts=cuts, **options)


@pytest.mark.parametrize(("dialect", "case"), CASES)
def test_a_family_is_read_however_its_text_is_cut(dialect: str, case: dict[str, Any]) -> None:
    meant = Message(case["text"], case["thought"], case["calls"])
    written = case["written"]
    assert message_of(dialect, case) == meant
    assert message_of(dialect, case, range(len(written))) == meant
    for cut in range(len(written)):
        assert message_of(dialect, case, [cut]) == meant


@settings(max_examples=60)
@given(data=st.data())
def test_no_text_is_read_in_two_ways(data: st.DataObject) -> None:
    """Whatever a model writes, of marks and pieces of calls in any order, its cuts do not matter."""
    name = data.draw(st.sampled_from(sorted(DIALECTS)))
    dialect = dialect_named(name, data.draw(st.sampled_from(["", "think", "brackets"])))
    bits = [*dialect.marks, *dialect.call_marks, '{"name": "now", "arguments": {', '"a": 1', "}", "]", "[", "\n", " ",
            "now", "(", ")", "get_weather", '"', "x", "<", "functions.", "to=", ">", ":", "call:"]  # fmt: skip
    written = "".join(data.draw(st.lists(st.sampled_from(bits), max_size=12)))
    cuts = data.draw(st.sets(st.integers(0, len(written))))
    assert read(name, written, cuts=cuts, reasoning=dialect.reasoning) == read(
        name, written, reasoning=dialect.reasoning
    )


@settings(max_examples=60)
@given(written=st.text(alphabet=st.sampled_from(list('<>{}[]"tool_call/ \nax:1')), max_size=60))
def test_text_that_calls_nothing_comes_out_as_it_is(written: str) -> None:
    for name in ("hermes", "generic", "llama", "qwen_coder"):
        assert read(name, written, cuts=range(0, len(written), 2), tools=[]) == Message(written)


def test_every_family_has_golden_texts() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(DIALECTS) - {"dsml_calls"}


@pytest.mark.parametrize(
    ("source", "dialect", "reasoning"),
    [
        ("{{ messages }}", "generic", ""),
        ("{% if tools %}<tool_call>{% endif %}", "hermes", ""),
        ("<tool_call> {{ '<think>' }}", "hermes", "think"),
        ("<tool_call> <function=f> <parameter=p>", "qwen_coder", ""),
        ("<tool_call> <arg_key> </think>", "glm", "think"),
        ("[AVAILABLE_TOOLS] [TOOL_CALLS]", "mistral", ""),
        ("[TOOL_CALLS] [ARGS] [THINK]", "mistral_args", "brackets"),
        ("<|start|>assistant<|channel|>final<|message|>", "harmony", "harmony"),
        ('tools {"name": function name, "parameters": dict}', "llama", ""),
        ("<|tool_call|> <|/tool_call|>", "phi", ""),
        ("<|tool_call|>", "granite", ""),
        ("<｜tool▁call▁begin｜>", "deepseek", ""),  # noqa: RUF001 - its own marks
        ("'<|tool_call>call:' <|channel>thought", "gemma", "gemma"),
        (">>>all", "functionary", ""),
    ],
)
def test_a_template_gives_its_family_away(source: str, dialect: str, reasoning: str) -> None:
    found = dialect_of(source)
    assert (found.name, found.reasoning) == (dialect, reasoning)
    assert dialect_named(found.name, found.reasoning) == found


def test_unknown_names_are_read_as_the_generic_dialect() -> None:
    assert dialect_named("of-a-later-version", "of-a-later-version") == DIALECTS["generic"]
