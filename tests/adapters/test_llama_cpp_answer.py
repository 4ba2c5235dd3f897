from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from adapters.dialects import dialect_named
from adapters.llama_cpp_answer import Shape, StreamEncoder, WholeEncoder, usage_json
from adapters.llama_cpp_job import ChosenLogprob, Delta, Finished, Job, TokenLogprob
from adapters.openai_request import parse
from policies.usage import Usage
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from pathlib import Path

USAGE = Usage(10, 3, cached_input_tokens=4)
USAGE_JSON = {
    "prompt_tokens": 10,
    "completion_tokens": 3,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
LOGPROB = ChosenLogprob(TokenLogprob(b"x", -1.0), (TokenLogprob(b"x", -1.0),))
NASTY = 'line\n"quote" \\ é ☃ \x00 \u2028 </script>'


def shape(
    endpoint: Endpoint = Endpoint.CHAT,
    *,
    choices: int = 1,
    tool: bool = False,
    logprobs: bool = False,
    usage: bool = False,
) -> Shape:
    return Shape(endpoint, "id-1", "smol", 123, choices, tool, logprobs, usage)


def stream(shape: Shape, *events: Delta | Finished) -> list[Any]:
    encoder = StreamEncoder(shape)
    data = encoder.opening()
    for event in events:
        data += encoder.delta(event) if isinstance(event, Delta) else encoder.finished(event)
    data += encoder.ending(USAGE)
    *chunks, done = data.decode().removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]


def whole(shape: Shape, *events: Delta | Finished) -> Any:
    encoder = WholeEncoder(shape)
    for event in events:
        if isinstance(event, Delta):
            encoder.delta(event)
        else:
            encoder.finished(event)
    return json.loads(encoder.body(USAGE))


def test_a_chat_stream_has_a_role_then_text_then_a_reason() -> None:
    chunks = stream(shape(), Delta(1, 0, NASTY, 1), Finished(1, 0, "stop", 1))
    assert [chunk["choices"] for chunk in chunks] == [
        [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        [{"index": 0, "delta": {"content": NASTY}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
    ]
    for chunk in chunks:
        assert {name: chunk[name] for name in ("id", "object", "created", "model")} == {
            "id": "id-1",
            "object": "chat.completion.chunk",
            "created": 123,
            "model": "smol",
        }
        assert "usage" not in chunk


def test_usage_comes_last_and_only_when_asked_for() -> None:
    *chunks, last = stream(shape(usage=True), Delta(1, 0, "a", 1), Finished(1, 0, "length", 1))
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], USAGE_JSON)


def test_empty_deltas_are_not_sent() -> None:
    assert len(stream(shape(), Delta(1, 0, "", 2), Finished(1, 0, "stop", 2))) == 2


def test_a_forced_call_streams_its_name_whole_and_its_arguments_in_pieces() -> None:
    pieces = ["get_", 'weather\n{"ci', 'ty":"A\n"}']
    chunks = stream(shape(tool=True), *(Delta(1, 0, piece, 1) for piece in pieces), Finished(1, 0, "stop", 3))
    first, second = (chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[1:3])
    assert first["function"] == {"name": "get_weather", "arguments": '{"ci'}
    assert first["id"].startswith("call_")
    assert second == {"index": 0, "function": {"arguments": 'ty":"A\n"}'}}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
SAID = (
    "<think>\nLet me see.\n</think>\n\nOne moment.\n"
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "A\\n"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
)


def thinking(*, choices: int = 1, logprobs: bool = False) -> Shape:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": choices, "logprobs": logprobs}
    request = parse(Endpoint.CHAT, json.dumps(body).encode())
    return Shape.of(request, Job(1, tools=[WEATHER]), "m", 1, dialect_named("hermes", "think"))


def assembled(chunks: list[Any], choice: int = 0) -> dict[str, Any]:
    """The message that a client makes of a stream."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls: list[dict[str, Any]] = []
    for chunk in chunks:
        for one in chunk["choices"]:
            if one["index"] != choice:
                continue
            for name in ("content", "reasoning_content"):
                if (text := one["delta"].get(name)) is not None:
                    message[name] = (message.get(name) or "") + text
            for call in one["delta"].get("tool_calls", ()):
                if call["index"] == len(calls):
                    calls.append({"id": call["id"], "type": call["type"], "function": {"name": "", "arguments": ""}})
                for name, text in call["function"].items():
                    calls[call["index"]]["function"][name] += text
    return message | ({"tool_calls": calls} if calls else {})


def without_ids(message: dict[str, Any]) -> dict[str, Any]:
    for call in message.get("tool_calls", ()):
        assert call.pop("id").startswith("call_")
    return message


@pytest.mark.parametrize("size", [1, 3, 7, len(SAID)])
def test_a_stream_and_a_whole_answer_say_the_same_however_they_are_cut(size: int) -> None:
    deltas = [Delta(1, 0, SAID[at : at + size], 1) for at in range(0, len(SAID), size)]
    chunks = stream(thinking(), *deltas, Finished(1, 0, "stop", 9))
    answer = whole(thinking(), *deltas, Finished(1, 0, "stop", 9))
    message = without_ids(answer["choices"][0]["message"])
    assert without_ids(assembled(chunks)) == message
    assert message["content"] == "One moment."
    assert message["reasoning_content"] == "Let me see."
    assert [json.loads(call["function"]["arguments"]) for call in message["tool_calls"]] == [{"city": "A\n"}, {}]
    assert chunks[-1]["choices"][0]["finish_reason"] == answer["choices"][0]["finish_reason"] == "tool_calls"


def test_thoughts_are_counted_while_they_last() -> None:
    encoder = StreamEncoder(thinking(choices=2))
    encoder.inside = "<think>"
    for choice in (0, 1):
        for text in ("so", " it", "</think>", "Yes"):
            encoder.delta(Delta(1, choice, text, 2))
    assert encoder.reasoning_tokens == 12
    assert usage_json(USAGE._replace(reasoning_tokens=12))["completion_tokens_details"] == {"reasoning_tokens": 12}


def test_log_probabilities_wait_for_their_text() -> None:
    """A token that is held back, since it may begin a call, leaves its log-probability to what comes next."""
    events = [Delta(1, 0, text, 1, (LOGPROB,)) for text in ("a ", "<tool", "_x", " ")]
    chunks = stream(thinking(logprobs=True), *events, Finished(1, 0, "stop", 4))
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert sum(len(one["content"]) for one in told if one) == 4
    assert assembled(chunks)["content"] == "a <tool_x "


def test_an_answer_without_calls_ends_as_it_did() -> None:
    chunks = stream(thinking(), Delta(1, 0, "Hi", 1), Finished(1, 0, "stop", 1))
    assert assembled(chunks) == {"role": "assistant", "content": "Hi", "refusal": None}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_what_obeys_a_schema_is_no_call() -> None:
    request = parse(Endpoint.CHAT, b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}')
    written = '{"name": "get_weather", "parameters": {}}'
    job = Job(1, tools=[WEATHER], schema="{}")
    made = Shape.of(request, job, "m", 1, dialect_named("llama"))
    assert (
        whole(made, Delta(1, 0, written, 1), Finished(1, 0, "stop", 1))["choices"][0]["message"]["content"] == written
    )


def test_completions_are_not_looked_into() -> None:
    request = parse(Endpoint.COMPLETIONS, b'{"model": "m", "prompt": "x"}')
    made = Shape.of(request, Job(1), "m", 1, dialect_named("hermes", "think"))
    assert whole(made, Delta(1, 0, "<think>x", 1), Finished(1, 0, "stop", 1))["choices"][0]["text"] == "<think>x"


def test_a_call_that_was_cut_short_says_so() -> None:
    chunks = stream(shape(tool=True), Delta(1, 0, "get", 1), Finished(1, 0, "length", 1))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, "length"]


def test_choices_keep_apart() -> None:
    events = (Delta(1, 0, "a", 1), Delta(1, 1, "b", 1), Finished(1, 0, "stop", 1), Finished(1, 1, "length", 1))
    answer = whole(shape(choices=2), *events)
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["a", "b"]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "length"]
    assert [chunk["choices"][0]["index"] for chunk in stream(shape(choices=2), *events)] == [0, 1, 0, 1, 0, 1]


def test_completions_know_where_their_tokens_begin() -> None:
    made = shape(Endpoint.COMPLETIONS, logprobs=True)
    chunks = stream(made, Delta(1, 0, "xx", 1, (LOGPROB, LOGPROB)), Delta(1, 0, "x", 1, (LOGPROB,)))
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks] == [[0, 1], [2]]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


@pytest.mark.parametrize("made", [
    shape(), shape(logprobs=True), shape(tool=True), shape(choices=2), shape(usage=True),
    shape(Endpoint.COMPLETIONS), shape(Endpoint.COMPLETIONS, logprobs=True),
])  # fmt: skip
def test_answers_and_chunks_obey_openais_schemas(shared_schema: Path, made: Shape) -> None:
    components = json.loads((shared_schema / "openai-schemas.json").read_text())["components"]
    events: list[Delta | Finished] = []
    for choice in range(made.choices):
        logprobs = (LOGPROB,) if made.wants_logprobs else ()
        events += [Delta(1, choice, "name\n{}", 2, logprobs), Finished(1, choice, "stop", 2)]
    name = "CreateChatCompletion" if made.is_chat else "CreateCompletion"
    chunk_name = "CreateChatCompletionStreamResponse" if made.is_chat else "CreateCompletionResponse"
    validate(components, f"{name}Response", whole(made, *events))
    for chunk in stream(made, *events):
        validate(components, chunk_name, chunk)


def validate(components: Any, name: str, value: dict[str, Any]) -> None:
    """OpenAI sends a null `usage` and, in completions, a null `finish_reason` that its own description forgets."""
    choices = [{key: one for key, one in choice.items() if one is not None} for choice in value["choices"]]
    sent = {key: one for key, one in value.items() if one is not None} | {"choices": choices}
    for choice, given in zip(choices, value["choices"], strict=True):
        for key in ("logprobs", "finish_reason"):
            assert key in given
            choice.setdefault(key, STAND_INS[key])
    sent["choices"] = choices
    jsonschema.validate(nullable(sent), {"$ref": f"#/components/schemas/{name}", "components": nullable(components)})


STAND_INS = {"logprobs": None, "finish_reason": "stop"}


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON schema says it."""
    if isinstance(schema, list):
        return [nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    read = {key: nullable(value) for key, value in schema.items()}
    if read.get("nullable") is True:
        return {"anyOf": [read, {"type": "null"}]}
    return read
