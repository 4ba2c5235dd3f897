"""The families of models whose way to call tools is known, and how a chat template gives its family away.

What each family writes is taken from the chat templates that its makers publish with their models.
"""

# ruff: noqa: RUF001 - these are DeepSeek's own marks

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from adapters.dialects import named_calls as named
from adapters.dialects import tagged_calls as tagged
from adapters.dialects.dialect import Dialect, Thoughts
from adapters.dialects.json_calls import read_json_calls
from adapters.dialects.loose_calls import FUNCTION_GEMMA, GEMMA, read_gemma, read_python_calls
from adapters.dialects.recipients import HARMONY_MARKS, read_functionary, read_harmony

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.dialects.dialect import CallReader
    from adapters.dialects.tape import Reading, Tape


def _json(*closes: str) -> CallReader:
    return lambda tape, _mark: read_json_calls(tape, closes)


def _tags(form: tagged.TagForm) -> CallReader:
    return lambda tape, mark: tagged.read_tagged_calls(tape, form, is_inside=mark == form.call_open)


def _python(close: str) -> CallReader:
    return lambda tape, _mark: read_python_calls(tape, close)


def _llama(tape: Tape, mark: str) -> Reading[bool]:
    """After <|python_tag|> a built-in tool is called in Python; everything else is JSON."""
    if (yield from tape.need()) and tape.text[tape.at] in "{[ \n":
        return (yield from read_json_calls(tape))
    return mark != "" and (yield from read_python_calls(tape))


_HERMES_OPENING: Final = '<tool_call>\n{"name": "'
_DEEPSEEK_MARKS: Final = (
    named.DEEPSEEK_SECTION, named.DEEPSEEK_CALL, named.DEEPSEEK_NAME, named.DEEPSEEK_END, named.DEEPSEEK_SECTION_END,
)  # fmt: skip
_KIMI_MARKS: Final = (
    named.KIMI_SECTION, named.KIMI_CALL, named.KIMI_ARGUMENTS, named.KIMI_END, named.KIMI_SECTION_END,
)  # fmt: skip

_DIALECTS: Final = (
    # Hermes 2 and 3, Qwen 2.5 and 3, Granite 4, SmolLM3, MiMo, Bielik, Reka; what tools are asked for by our own words.
    Dialect("hermes", _json("</tool_call>"), ("<tool_call>",), _HERMES_OPENING, ("</tool_call>",)),
    Dialect("generic", _json("</tool_call>"), ("<tool_call>",), _HERMES_OPENING, ("</tool_call>",), bare_calls=True),
    Dialect("llama", _llama, ("<|python_tag|>",), '{"name": "', bare_calls=True),
    Dialect("llama_python", _python(""), ("<|python_tag|>",), "[", bare_calls=True),
    Dialect(
        "mistral", lambda tape, _mark: named.read_mistral(tape), ("[TOOL_CALLS]",), '[TOOL_CALLS][{"name": "',
        ("[ARGS]", "[CALL_ID]"), short_ids=True,
    ),
    Dialect(
        "mistral_args", lambda tape, _mark: named.read_mistral(tape), ("[TOOL_CALLS]",), "[TOOL_CALLS]",
        ("[ARGS]", "[CALL_ID]"), short_ids=True,
    ),
    Dialect("granite", _json("</tool_call>"), ("<|tool_call|>", "<tool_call>"), '<|tool_call|>[{"name": "',
            silent_marks=("<response>", "</response>")),
    Dialect("phi", _json("<|/tool_call|>"), ("<|tool_call|>",), '<|tool_call|>[{"name": "', ("<|/tool_call|>",)),
    Dialect(
        "command_r7b", _json("<|END_ACTION|>"), ("<|START_ACTION|>",),
        '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "', ("<|END_ACTION|>",),
        ("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
    ),
    Dialect("command_r", _json(), ("Action:",), 'Action:\n```json\n[\n    {\n        "tool_name": "'),
    Dialect(
        "deepseek", lambda tape, _mark: named.read_deepseek(tape), (named.DEEPSEEK_SECTION,),
        f"{named.DEEPSEEK_SECTION}{named.DEEPSEEK_CALL}", _DEEPSEEK_MARKS, calls_end_thoughts=True,
    ),
    Dialect(
        "dsml", _tags(tagged.DSML), ("<｜DSML｜function_calls>",),
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="', ("｜DSML｜",), calls_end_thoughts=True,
    ),
    Dialect(
        "dsml_calls", _tags(tagged.DSML_CALLS), ("<｜DSML｜tool_calls>",),
        '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="', ("｜DSML｜",), calls_end_thoughts=True,
    ),
    Dialect(
        "kimi", lambda tape, _mark: named.read_kimi(tape), (named.KIMI_SECTION,),
        f"{named.KIMI_SECTION}{named.KIMI_CALL}functions.", _KIMI_MARKS,
    ),
    Dialect("functionary_tags", lambda tape, _mark: named.read_function_tag(tape), ("<function=",), "<function="),
    Dialect("functionary", _json(), forced_opening="", reads_messages=read_functionary, text_opening="all\n"),
    Dialect(
        "harmony", _json(), forced_opening="<|channel|>commentary to=functions.", control_marks=HARMONY_MARKS,
        reads_messages=read_harmony, text_opening="<|channel|>final<|message|>",
        thoughts=Thoughts("harmony", "<|channel|>analysis<|message|>", "<|end|>"),
    ),
    Dialect(
        "gemma", lambda tape, _mark: read_gemma(tape, GEMMA, "<tool_call|>"), ("<|tool_call>",), "<|tool_call>call:",
        ("<tool_call|>", '<|"|>'),
    ),
    Dialect(
        "function_gemma", lambda tape, _mark: read_gemma(tape, FUNCTION_GEMMA, "<end_function_call>"),
        ("<start_function_call>",), "<start_function_call>call:", ("<end_function_call>", "<escape>"),
    ),
    Dialect("glm", _tags(tagged.GLM), ("<tool_call>",), "<tool_call>",
            ("</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")),
    Dialect("qwen_coder", _tags(tagged.QWEN_CODER), ("<tool_call>", "<function="), "<tool_call>\n<function=",
            ("</tool_call>",), calls_end_thoughts=True),
    Dialect("seed", _tags(tagged.SEED), ("<seed:tool_call>",), "<seed:tool_call>\n<function=", ("</seed:tool_call>",)),
    Dialect("minimax", _tags(tagged.MINIMAX), ("<minimax:tool_call>",), '<minimax:tool_call>\n<invoke name="',
            ("</minimax:tool_call>",)),
    Dialect("lfm2", _python("<|tool_call_end|>"), ("<|tool_call_start|>",), "<|tool_call_start|>[",
            ("<|tool_call_end|>",)),
    Dialect("nemotron", _json("</TOOLCALL>"), ("<TOOLCALL>",), '<TOOLCALL>[{"name": "', ("</TOOLCALL>",)),
    Dialect("tool_calls", _json("</tool_calls>"), ("<tool_calls>",), '<tool_calls>\n{"name": "', ("</tool_calls>",)),
    Dialect("internlm", _json("<|action_end|>"), ("<|action_start|><|plugin|>",),
            '<|action_start|><|plugin|>\n{"name": "', ("<|action_start|>", "<|plugin|>", "<|action_end|>")),
    Dialect("firefunction", _json(), ("functools",), 'functools[{"name": "'),
)  # fmt: skip

DIALECTS: Final = {dialect.name: dialect for dialect in _DIALECTS}

THOUGHTS: Final = {
    thoughts.name: thoughts
    for thoughts in (
        Thoughts("think", "<think>", "</think>"),
        Thoughts("brackets", "[THINK]", "[/THINK]", anywhere=True),
        Thoughts("command", "<|START_THINKING|>", "<|END_THINKING|>", anywhere=True),
        Thoughts("seed", "<seed:think>", "</seed:think>"),
        Thoughts("gemma", "<|channel>thought\n", "<channel|>", anywhere=True),
        Thoughts("thinking", "<thinking>", "</thinking>"),
    )
}

# In this order: a template may bear the marks of several families, for it also renders what others have called.
_SIGNS: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("harmony", ("<|channel|>", "<|message|>", "<|start|>")),
    ("functionary", (">>>all",)),
    ("kimi", ("<|tool_calls_section_begin|>",)),
    ("dsml", ("DSML", "function_calls")),
    ("dsml_calls", ("DSML",)),
    ("deepseek", ("tool▁call▁begin",)),
    ("mistral_args", ("[TOOL_CALLS]", "[ARGS]")),
    ("mistral", ("[TOOL_CALLS]",)),
    ("gemma", ("<|tool_call>call:",)),
    ("function_gemma", ("<start_function_call>",)),
    ("seed", ("<seed:tool_call>",)),
    ("minimax", ("<minimax:tool_call>",)),
    ("glm", ("<arg_key>", "<tool_call>")),
    ("qwen_coder", ("<function=", "<parameter=")),
    ("functionary_tags", ("<function=",)),
    ("command_r7b", ("<|START_ACTION|>",)),
    ("command_r", ("Action:", "```json", "tool_name")),
    ("internlm", ("<|action_start|>",)),
    ("lfm2", ("<|tool_call_start|>",)),
    ("lfm2", ("<|tool_list_start|>",)),
    ("phi", ("<|/tool_call|>",)),
    ("phi", ("<|/tool|>",)),
    ("granite", ("<|tool_call|>",)),
    ("nemotron", ("<TOOLCALL>",)),
    ("tool_calls", ("<tool_calls>",)),
    ("firefunction", ("functools",)),
    ("hermes", ("<tool_call>",)),
    ("llama_python", ("func_name1(",)),
    ("llama", ("tools", '"parameters": ')),
    ("llama", ("<|python_tag|>",)),
)

_THOUGHT_SIGNS: Final = (
    ("brackets", "[THINK]"),
    ("command", "<|START_THINKING|>"),
    ("seed", "<seed:think>"),
    ("gemma", "<|channel>thought"),
    ("think", "<think>"),
    ("think", "</think>"),
    ("thinking", "</thinking>"),
)


def dialect_of(template_source: str) -> Dialect:
    """The dialect that a model with this chat template writes."""
    name = next((name for name, signs in _SIGNS if all(sign in template_source for sign in signs)), "generic")
    reasoning = next((thoughts for thoughts, sign in _THOUGHT_SIGNS if sign in template_source), "")
    return dialect_named(name, reasoning)


@lru_cache(maxsize=64)
def dialect_named(name: str, reasoning: str = "") -> Dialect:
    """A dialect by the names that a worker reports; what is unknown is read as the generic one, thoughts as text."""
    dialect = DIALECTS.get(name) or DIALECTS["generic"]
    thoughts = THOUGHTS.get(reasoning)
    return replace(dialect, thoughts=thoughts) if thoughts and dialect.thoughts is None else dialect
