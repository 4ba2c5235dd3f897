"""Tools on the bundled model, whose template knows none, through the official client: called, answered, and told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from anyio.from_thread import start_blocking_portal
from openai import OpenAI

from tests.gateway_process import KEY, ROOT, gateway_process

if TYPE_CHECKING:
    from collections.abc import Iterator

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asked(city: str) -> dict[str, Any]:
    return {"role": "user", "content": f"What is the weather in {city}?"}


ROME: Any = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
# A model as small as this one calls a function when it has seen how.
SEEN: Any = [asked("Rome"), {"role": "assistant", "content": None, "tool_calls": [ROME]}, asked("Paris")]
CALL: Any = {"model": "local", "messages": SEEN, "tools": [WEATHER], "temperature": 0, "max_tokens": 60}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    policy = yaml.safe_load((ROOT / "config" / "local.yaml").read_text())
    for ours in ("server", "ledger", "keys"):
        del policy[ours]
    with start_blocking_portal() as portal:
        process = gateway_process(policy, tmp_path_factory.mktemp("tools"))
        with (
            portal.wrap_async_context_manager(process) as gateway,
            OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0, timeout=60) as made,
        ):
            yield made


def test_a_tool_is_called_answered_and_told_of(client: OpenAI) -> None:
    """The model decides by itself, as a whole answer and as a stream; then it reads what came of the call."""
    reply = client.chat.completions.create(**CALL)
    with client.chat.completions.stream(**CALL) as stream:
        streamed = stream.get_final_completion()

    for one in (reply, streamed):
        assert one.choices[0].finish_reason == "tool_calls"
        assert not one.choices[0].message.content
        (call,) = one.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
        assert call.id.startswith("call_")

    result = {"role": "tool", "tool_call_id": call.id, "content": "It is sunny in Paris."}
    messages: Any = [*SEEN, reply.choices[0].message.model_dump(exclude_none=True), result]
    told = client.chat.completions.create(**CALL | {"messages": messages, "max_tokens": 16})
    assert told.choices[0].message.content
    assert told.choices[0].finish_reason in ("stop", "length")


def test_a_tool_that_must_be_called_is(client: OpenAI) -> None:
    forced: Any = CALL | {"messages": [asked("Paris")], "tool_choice": "required"}
    reply = client.chat.completions.create(**forced)

    (call,) = reply.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert list(json.loads(call.function.arguments)) == ["city"]
    assert reply.choices[0].finish_reason == "tool_calls"


def test_tools_that_are_not_needed_leave_an_answer_alone(client: OpenAI) -> None:
    plain: Any = CALL | {"messages": [{"role": "user", "content": "What is 2+2?"}]}
    raw = client.chat.completions.with_raw_response.create(**plain)

    assert "x-pointsman-ignored" not in raw.headers
    assert raw.parse().choices[0].message.content
    assert raw.parse().choices[0].message.tool_calls is None
