from __future__ import annotations

import pytest

from adapters.schema import InvalidRequest
from gateway.local.preparing.template import ChatTemplate

HI: list[dict[str, object]] = [{"role": "user", "content": "hi"}]


def render(source: str, messages: list[dict[str, object]] = HI, tools: list[dict[str, object]] | None = None) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(messages, tools)


def test_a_template_sees_messages_and_tokens() -> None:
    assert render("{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}") == (
        "<s>user:hi</s>"
    )


def test_tools_reach_only_a_template_that_knows_them() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    knowing = ChatTemplate("{% if tools %}{{ tools | tojson }}{% endif %}", bos="", eos="")
    assert knowing.knows_tools
    assert '"name": "f"' in knowing.render(HI, tools)
    assert not ChatTemplate("{{ messages }}", bos="", eos="").knows_tools


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[3].content }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ range(10**9) | list }}",
        "{{ nothing.at.all }}",
        "{{ 1 // 0 }}",
    ],
)
def test_whatever_goes_wrong_in_a_template_blames_the_messages(source: str) -> None:
    with pytest.raises(InvalidRequest, match="chat template refuses") as refusal:
        render(source)
    assert (refusal.value.param, refusal.value.code) == ("messages", "template_error")
    assert len(refusal.value.message) < 500


def test_training_marks_and_loop_controls_are_understood() -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    assert render(source, HI * 2) == "hi"


def test_json_is_written_as_hugging_face_writes_it() -> None:
    assert render("{{ messages | tojson }}", [{"content": "é<&>"}]) == '[{"content": "é<&>"}]'


def test_a_template_may_ask_for_the_date() -> None:
    assert render("{{ strftime_now('%Y') }}").isdigit()


def test_arguments_are_an_object_and_a_text() -> None:
    """Some templates walk through them, some write them as JSON, some put them into a sentence."""
    call = {"function": {"name": "f", "arguments": {"a": "\N{SNOWMAN}"}}}
    source = (
        "{% set a = messages[0].tool_calls[0].function.arguments %}{{ a | tojson }} {{ a }} {{ 'x' + a + 'y' }} "
        "{{ 'x' ~ a }} {% for k, v in a.items() %}{{ k }}={{ v }}{% endfor %} {{ a is mapping }}"
    )
    json_text = '{"a": "\N{SNOWMAN}"}'
    assert render(source, [{"role": "assistant", "tool_calls": [call]}]) == (
        f"{json_text} {json_text} x{json_text}y x{json_text} a=\N{SNOWMAN} True"
    )


def test_arguments_that_are_no_object_stay_what_they_are() -> None:
    call = {"function": {"name": "f", "arguments": "no json"}}
    source = "{{ messages[0].tool_calls[0].function.arguments }}"
    assert render(source, [{"role": "assistant", "tool_calls": [call]}]) == "no json"


def test_more_names_may_be_given_to_a_template() -> None:
    template = ChatTemplate("{{ enable_thinking }}{{ deep.er }}", bos="", eos="")
    assert template.render(HI, None, {"enable_thinking": False, "deep": {"er": 1}}) == "False1"
    with pytest.raises(InvalidRequest, match="may not set `messages`") as refusal:
        template.render(HI, None, {"messages": []})
    assert refusal.value.param == "chat_template_kwargs"


def test_a_template_that_walks_through_no_tools_is_given_an_empty_list() -> None:
    assert render("{% for t in tools %}{{ t }}{% endfor %}!") == "!"


def test_lazy_lists_can_be_written_as_json() -> None:
    assert render("{{ messages | map(attribute='role') | tojson }}") == '["user"]'


def test_a_template_names_the_dialect_that_its_model_speaks() -> None:
    spoken = ChatTemplate("{{ tools }}<tool_call><think>", bos="", eos="").dialect
    assert (spoken.name, spoken.reasoning) == ("hermes", "think")
    told = ChatTemplate("<|tool_call|> {{ messages }}", bos="", eos="").dialect
    assert told.name == "generic"


def test_a_template_that_does_not_parse_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="does not parse"):
        ChatTemplate("{% if %}", bos="", eos="")
