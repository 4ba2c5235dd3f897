from __future__ import annotations

from adapters.dialects.fallback import instruction, spoken_calls, spoken_results, told, without_system
from tests.adapters.dialects.said import Message, read, tool

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"function": {"name": "now", "arguments": {"a": 1}}}


def test_an_instruction_names_the_functions_and_shows_how_to_call_them() -> None:
    text = instruction([tool("now", zone="string")], forced=False)
    assert '"name": "now"' in text
    assert "zone" in text
    assert "answer in plain words" in text
    assert "answer in plain words" not in instruction([tool("now")], forced=True)


def test_the_system_tells() -> None:
    assert told([USER], "x") == [{"role": "system", "content": "x"}, USER]
    assert told([SYSTEM, USER], "x") == [{"role": "system", "content": "Be brief.\n\nx"}, USER]


def test_without_a_system_the_user_tells() -> None:
    assert without_system([SYSTEM, USER]) == [{"role": "user", "content": "Be brief.\n\nhi"}]
    for messages in ([USER], [SYSTEM], [SYSTEM, {"role": "assistant", "content": "x"}]):
        assert without_system(messages) is messages


def test_spoken_calls_are_calls_again_when_read() -> None:
    (message,) = spoken_calls([{"role": "assistant", "content": "Look.", "tool_calls": [CALL, CALL]}])
    assert "tool_calls" not in message
    assert read("generic", message["content"]) == Message("Look.", calls=[["now", '{"a": 1}']] * 2)


def test_results_are_one_turn_of_the_users() -> None:
    results = [{"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]
    spoken = "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>"
    assert spoken_results([USER, *results]) == [USER, {"role": "user", "content": spoken}]
    assert spoken_results([*results, USER, USER]) == [{"role": "user", "content": f"{spoken}\nhi\nhi"}]
    assert spoken_results([USER, USER]) == [USER, USER]
