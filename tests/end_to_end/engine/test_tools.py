"""Calls of functions: of a model's own accord, because it must, several at once, and what came of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import CHAT, SCRIPTS, conversation

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.end_to_end.engine.house import House, Stream


def function(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": f"Use {name}.", "parameters": parameters}}


WEATHER: Any = function("weather", city={"type": "string"})
CLOCK: Any = function("clock", zone={"type": "string"}, exact={"type": "boolean"})
LIGHT: Any = function("set-light", room={"enum": ["kitchen", "hall"]}, on={"type": "boolean"})
TEST: Any = function("test", success={"type": "boolean", "const": True})
TOOLS: Any = [WEATHER, CLOCK]
# A model of noise, which calls a function only because it has to.
MUST: Any = {**conversation("steady", "Do it."), "temperature": 1, "seed": 3, "max_tokens": 200}


def calls_of(message: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in message["tool_calls"]]


def gathered(stream: Stream, choice: int = 0) -> list[tuple[str, Any]]:
    """A stream's calls, put together as clients do: by their index, with an id and a name once."""
    calls: dict[int, dict[str, str]] = {}
    for one in stream.choices(choice):
        for part in one["delta"].get("tool_calls") or ():
            if part["index"] not in calls:
                assert part["type"] == "function"
                calls[part["index"]] = {"id": part["id"], "name": part["function"]["name"], "arguments": ""}
            else:
                assert "id" not in part
                assert "name" not in part["function"]
            calls[part["index"]]["arguments"] += part["function"]["arguments"]
    assert [*calls] == list(range(len(calls)))
    assert len({call["id"] for call in calls.values()}) == len(calls)
    return [(call["name"], json.loads(call["arguments"])) for call in calls.values()]


# of its own accord


def test_a_call_is_read_out_of_what_the_model_writes(house: House) -> None:
    ask = conversation("scripted", "B") | {"tools": TOOLS}
    (choice,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    assert calls_of(choice["message"]) == gathered(stream) == [("weather", {"city": "Paris"})]
    assert choice["message"]["tool_calls"][0]["id"].startswith("call_")
    assert choice["message"]["tool_calls"][0]["type"] == "function"
    assert choice["message"]["content"] is None
    assert stream.text() == ""
    assert choice["finish_reason"] == stream.reason() == "tool_calls"


def test_text_and_several_calls(house: House, client: OpenAI) -> None:
    ask = conversation("scripted", "C") | {"tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True}
    (choice,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    both = [("weather", {"city": "Paris"}), ("clock", {"zone": "UTC+1", "exact": True})]
    assert calls_of(choice["message"]) == gathered(stream) == both
    assert choice["message"]["content"].strip() == stream.text().strip() == "Let me see."
    ids = [one["id"] for one in choice["message"]["tool_calls"]]
    assert len(set(ids)) == 2
    with client.chat.completions.stream(**ask) as events:
        message = events.get_final_completion().choices[0].message
    assert [one.function.name for one in message.tool_calls or []] == ["weather", "clock"]


def test_arguments_come_while_they_are_written(house: House) -> None:
    ask = conversation("scripted", "C") | {"tools": TOOLS}
    parts = [one["delta"]["tool_calls"] for one in house.stream(CHAT, ask).choices() if one["delta"].get("tool_calls")]
    assert len(parts) > 6


@pytest.mark.parametrize("changed", [{}, {"tools": []}, {"tools": None}, {"tools": TOOLS, "tool_choice": "none"}])
def test_without_tools_nothing_is_a_call(house: House, changed: dict[str, Any]) -> None:
    ask = conversation("scripted", "B") | changed
    (choice,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    assert choice["message"]["content"] == stream.text() == SCRIPTS["B"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == stream.reason() == "stop"


@pytest.mark.parametrize("script", ["F", "G"], ids=["talks of calls", "calls nobody"])
def test_what_only_looks_like_a_call_is_text(house: House, script: str) -> None:
    ask = conversation("scripted", script) | {"tools": TOOLS}
    (choice,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    assert choice["message"]["content"] == stream.text() == SCRIPTS[script]
    assert not choice["message"].get("tool_calls")
    assert choice["finish_reason"] == stream.reason() == "stop"


def test_a_call_that_breaks_off_is_never_a_whole_one(house: House) -> None:
    ask = conversation("scripted", "B") | {"tools": TOOLS, "max_tokens": 18}
    for ask_ in (ask, conversation("scripted", "E") | {"tools": TOOLS}):
        (choice,) = house.asked(CHAT, ask_)["choices"]
        for call in choice["message"].get("tool_calls") or ():
            with pytest.raises(json.JSONDecodeError):
                json.loads(call["function"]["arguments"])
    assert house.asked(CHAT, ask)["choices"][0]["finish_reason"] == "length"


def test_thoughts_are_told_apart(house: House) -> None:
    ask = conversation("scripted", "D")
    (choice,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    assert choice["message"]["content"].strip() == stream.text().strip() == "Good day!"
    thought = "".join(one["delta"].get("reasoning_content") or "" for one in stream.choices())
    assert choice["message"]["reasoning_content"].strip() == thought.strip() == "They greet me; I greet back."
    usage = house.asked(CHAT, ask)["usage"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


# because it must


@pytest.mark.parametrize("tool", [TEST, LIGHT, function("no_arguments")], ids=lambda tool: tool["function"]["name"])
@pytest.mark.parametrize("named", [False, True], ids=["required", "named"])
def test_a_forced_call_obeys_the_schema(house: House, tool: dict[str, Any], named: bool) -> None:  # noqa: FBT001
    name, schema = tool["function"]["name"], tool["function"]["parameters"]
    choice: Any = {"type": "function", "function": {"name": name}} if named else "required"
    ask = MUST | {"tools": [tool], "tool_choice": choice, "parallel_tool_calls": False}
    (whole,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    ((called, arguments),) = calls_of(whole["message"])
    assert gathered(stream) == [(called, arguments)]
    assert called == name
    assert list(arguments) == schema["required"]
    for key, value in arguments.items():
        kind = schema["properties"][key]
        assert value in kind.get("enum", [kind.get("const", value)])
        assert isinstance(value, bool) or kind.get("type") != "boolean"
    assert not whole["message"]["content"]
    assert stream.text() == ""
    assert whole["finish_reason"] == stream.reason() == "tool_calls"


def test_of_several_tools_one_is_called(house: House) -> None:
    tools = [TEST, LIGHT, function("no_arguments")]
    chance = {"tool_choice": "required", "temperature": 2, "top_k": 0}
    asks = [MUST | chance | {"tools": tools, "seed": seed} for seed in range(12)]
    names = {calls_of(house.asked(CHAT, ask)["choices"][0]["message"])[0][0] for ask in asks}
    assert 1 < len(names) <= 3
    assert names <= {tool["function"]["name"] for tool in tools}


def test_the_named_one_is_called_whichever_others_there_are(house: House) -> None:
    named = {"type": "function", "function": {"name": "test"}}
    ask = MUST | {"tools": [LIGHT, TEST], "tool_choice": named}
    assert calls_of(house.asked(CHAT, ask)["choices"][0]["message"]) == [("test", {"success": True})]


# what came of it


def test_results_are_read_by_the_model(house: House) -> None:
    """The template ends its prompt with the last message, which is the result here: the script of its letter comes."""
    (called,) = house.asked(CHAT, conversation("scripted", "B") | {"tools": TOOLS})["choices"]
    result = {"role": "tool", "tool_call_id": called["message"]["tool_calls"][0]["id"], "content": "7 degrees: H"}
    turns = [{"role": "user", "content": "B"}, called["message"], result]
    (told,) = house.asked(CHAT, conversation("scripted", turns) | {"tools": TOOLS})["choices"]
    assert (told["message"]["content"], told["finish_reason"]) == (SCRIPTS["H"], "stop")


def test_tools_and_calls_are_part_of_the_prompt(house: House) -> None:
    """Of a model whose template has no word for them, too."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    turns: Any = [
        {"role": "user", "content": "How is Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
    ]
    for model in ("scripted", "crowded"):
        shapes = [turns[:1], turns[:2] + turns[:1], [*turns, turns[0]]]
        told = [house.chat(model, shape, max_tokens=1)["usage"]["prompt_tokens"] for shape in shapes]
        assert told == sorted(set(told))
        ask = conversation(model, turns[:1]) | {"max_tokens": 1, "tools": [WEATHER]}
        assert house.asked(CHAT, ask)["usage"]["prompt_tokens"] > told[0]
        assert house.asked(CHAT, ask | {"tool_choice": "none"})["usage"]["prompt_tokens"] == told[0]


# nonsense


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"tools": "weather"}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools"),
        ({"tools": [function("no spaces please")]}, "tools"),
        ({"tools": [function("x" * 65)]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": "none"}}]}, "tools"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "launch"}}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice"),
    ],
)
def test_nonsense_is_refused_by_name(house: House, changed: dict[str, Any], param: str) -> None:
    for stream in (False, True):
        error = house.refused(CHAT, conversation("scripted", "A") | changed | {"stream": stream})
        assert error["type"] == "invalid_request_error"
        assert error["param"].startswith(param)


def test_a_tool_whose_arguments_nothing_can_be_is_refused(house: House) -> None:
    tool = function("f", x={"type": "hiccup"})
    error = house.refused(CHAT, MUST | {"tools": [tool], "tool_choice": "required"})
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith("tools")
