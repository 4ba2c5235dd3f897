from __future__ import annotations

from typing import Any

import pytest

from adapters.llama_cpp_job import Job, ToolSpec
from adapters.schema import InvalidRequest
from gateway.local.preparing.chat_prompt import ChatPrompt, chat_prompt
from gateway.local.preparing.template import ChatTemplate

PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
)
KNOWING = (
    "{% for t in tools or [] %}T:{{ t.function.name }}\n{% endfor %}{% for m in messages %}[{{ m.role }}]"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }}:{{ c.function.arguments | tojson }}{% endfor %}"
    "{{ m.content }}\n{% endfor %}[assistant] "
)
HI: dict[str, Any] = {"role": "user", "content": "hi"}
ADD: dict[str, Any] = {"type": "function", "function": {"name": "add", "description": "adds"}}
SPEC = ToolSpec("add", "adds", '{"type": "object"}')
CALL = {"id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}
CALLED: list[dict[str, Any]] = [
    HI,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "2", "tool_call_id": "c1"},
]


def prompt(
    source: str, messages: list[dict[str, Any]], *, tools: list[dict[str, Any]] | None = None, **wants: Any
) -> ChatPrompt:
    job = Job(1, messages=messages, tools=tools, **wants)
    return chat_prompt(ChatTemplate(source, bos="", eos=""), job, messages, tools)


def test_a_template_without_tools_is_told_of_them_in_words() -> None:
    text = prompt(PLAIN, [HI], tools=[ADD]).text
    assert text.startswith("[system] You can call functions.")
    assert '"name": "add"' in text
    assert text.endswith("[user] hi\n[assistant] ")


def test_a_template_without_a_system_is_told_by_the_user() -> None:
    text = prompt(STRICT, [HI], tools=[ADD]).text
    assert text.startswith("[user] You can call functions.")
    assert text.endswith("hi\n[assistant] ")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [([{"role": "system", "content": "x"}, HI], "System role not supported"), ([HI, HI], "Roles must alternate")],
)
def test_what_a_template_refuses_is_the_callers_to_know(messages: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refusal:
        prompt(STRICT, messages)
    assert (refusal.value.status, refusal.value.param) == (400, "messages")


def test_calls_and_results_are_spoken_where_a_template_knows_neither() -> None:
    text = prompt(STRICT, CALLED).text
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    assert text == f"[user] hi\n[assistant] {call}\n[user] <tool_response>\n2\n</tool_response>\n[assistant] "


def test_a_template_that_knows_tools_gets_them_all() -> None:
    assert prompt(KNOWING, CALLED, tools=[ADD]).text == (
        'T:add\n[user]hi\n[assistant]<tool_call>add:{"a": 1}\n[tool]2\n[assistant] '
    )


def test_a_forced_call_begins_with_its_mark() -> None:
    opened = '<tool_call>\n{"name": "'
    assert prompt(KNOWING, [HI], tools=[ADD], forced_tools=(SPEC,)) == ChatPrompt(
        f"T:add\n[user]hi\n[assistant] {opened}"
    )
    fallback = prompt(PLAIN, [HI], tools=[ADD, {"function": {"name": "other"}}], forced_tools=(SPEC,)).text
    assert "other" not in fallback
    assert fallback.endswith(opened)


@pytest.mark.parametrize(
    ("wants", "messages", "text", "opening"),
    [
        ({}, [HI], "[user]hi\n[assistant] <think>\n", "<think>"),
        ({"schema": "{}"}, [HI], "[user]hi\n[assistant] <think>\n\n</think>\n\n", ""),
        ({"forced_tools": (SPEC,)}, [HI], '[user]hi\n[assistant] <think>\n\n</think>\n\n<tool_call>\n{"name": "', ""),
        ({}, [HI, {"role": "assistant", "content": "Yes"}], "[user]hi\n[assistant] <think>\n\n</think>\n\nYes", ""),
        ({"template_options": {"think": False}}, [HI], "[user]hi\n[assistant] <think></think>", ""),
    ],
)
def test_thoughts_are_over_before_an_answer_that_has_its_form(
    wants: dict[str, Any], messages: list[dict[str, Any]], text: str, opening: str
) -> None:
    source = KNOWING + "{% if think is defined and not think %}<think></think>{% else %}<think>\n{% endif %}"
    assert prompt(source, messages, **wants) == ChatPrompt(text, opening)


def test_harmony_answers_go_to_their_channel() -> None:
    source = "<|start|>{{ messages[0].role }}<|message|>{{ tools }}{{ tool_calls }}{# <|channel|> #}<|start|>assistant"
    begun = [HI, {"role": "assistant", "content": "Yes"}]
    final = "<|channel|>final<|message|>"
    assert prompt(source, [HI]).opening == ""
    assert prompt(source, begun).text.endswith(f"<|start|>assistant{final}Yes")
    assert prompt(source, begun).opening == final
    forced = prompt(source, [HI], forced_tools=(SPEC,)).text
    assert forced.endswith("assistant<|channel|>commentary to=functions.")


def test_ids_of_calls_are_short_where_they_must_be() -> None:
    source = "[TOOL_CALLS]{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.id }}={% endfor %}{{ m.tool_call_id }}{% endfor %}{{ tools }}"  # noqa: E501
    call, result = prompt(source, CALLED).text.removeprefix("[TOOL_CALLS]").removesuffix("None").split("=")
    assert call == result
    assert len(call) == 9
    assert call.isalnum()
    assert prompt(source, [{"role": "tool", "tool_call_id": "abcDEF123"}]).text == "[TOOL_CALLS]abcDEF123None"
