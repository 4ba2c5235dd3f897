"""What each known field may be: impossible values are refused by name, possible ones pass."""

from __future__ import annotations

import json

import pytest

from adapters.openai_bodies import MESSAGES_KEPT
from adapters.openai_request import parse
from adapters.schema import InvalidRequest
from policies.vocabulary import Endpoint

GOOD: dict[Endpoint, dict[str, object]] = {
    Endpoint.CHAT: {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    Endpoint.COMPLETIONS: {"model": "m", "prompt": "Hi"},
    Endpoint.EMBEDDINGS: {"model": "m", "input": "Hi"},
    Endpoint.RESPONSES: {"model": "m", "input": "Hi"},
}
CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES = GOOD

REFUSED: list[tuple[Endpoint, str, list[object]]] = [
    (CHAT, "max_tokens", [-1, 0, 1.5, "10", True, 2**63, [1], {}]),
    (CHAT, "max_completion_tokens", [-1, 0, 1.5, "10", True, 2**63]),
    (CHAT, "n", [0, -1, 10**6, 1.5, "2", False]),
    (CHAT, "temperature", ["hot", -1, 1e9, 2.1, True, []]),
    (CHAT, "top_p", [-0.1, 1.1, "x"]),
    (CHAT, "stream", ["yes", 1, 0, "true", {}]),
    (CHAT, "stop", ["x" * 5_000_000, ["a"] * 5, [1], 7, ["x" * 5000]]),
    (CHAT, "logit_bias", [{str(number): 1 for number in range(100_000)}, {"1": 101}, {"1": "x"}, [1]]),
    (CHAT, "seed", [2**63, 1.5, "x"]),
    (CHAT, "user", [1, {}]),
    (CHAT, "metadata", [{"a": 1}, {"a": "x" * 513}, {"k" * 65: "x"}, {str(n): "x" for n in range(17)}, "x", [1]]),
    (CHAT, "tools", [{}, "x", ["x"], [1]]),
    (CHAT, "tool_choice", [1, []]),
    (CHAT, "response_format", ["json", []]),
    (CHAT, "logprobs", ["x", 1]),
    (CHAT, "stream_options", [[], "x"]),
    (COMPLETIONS, "best_of", [0, 10**6, "x"]),
    (COMPLETIONS, "max_tokens", [0]),
    (COMPLETIONS, "prompt", [None, 1, {}, [1.5], [["a"]], [{}]]),
    (EMBEDDINGS, "input", [None, 1, {}, [1.5], [["a"]], [None]]),
    (EMBEDDINGS, "encoding_format", ["hex", 1]),
    (EMBEDDINGS, "dimensions", [0, -1, "x"]),
    (RESPONSES, "input", [1, {}, ["x"], [1]]),
    (RESPONSES, "max_output_tokens", [0, "x"]),
    (RESPONSES, "tools", [["x"], {}]),
    (RESPONSES, "temperature", [3]),
    (RESPONSES, "metadata", [{"a": 1}]),
]
CASES = [(endpoint, name, value) for endpoint, name, values in REFUSED for value in values]


@pytest.mark.parametrize(("endpoint", "name", "value"), CASES, ids=[f"{e.name}-{n}-{v!r:.20}" for e, n, v in CASES])
def test_an_impossible_value_is_refused_by_name(endpoint: Endpoint, name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(endpoint, json.dumps({**GOOD[endpoint], name: value}).encode())
    assert str(refused.value.param).split("[")[0] == name
    assert name in refused.value.message
    assert len(refused.value.message) < 400


ALLOWED: list[tuple[Endpoint, str, list[object]]] = [
    (CHAT, "max_tokens", [None, 1, 2**31 - 1]),
    (CHAT, "temperature", [None, 0, 2, 0.7]),
    (CHAT, "n", [None, 1, 128]),
    (CHAT, "stop", [None, "x", [], ["a", "b", "c", "d"]]),
    (CHAT, "seed", [None, -(2**63), 2**63 - 1]),
    (CHAT, "logit_bias", [None, {}, {"1": -100, "2": 0.5}]),
    (CHAT, "metadata", [None, {}, {"k" * 64: "x" * 512}, {"a": "b\r\n\x1b[31m"}]),
    (CHAT, "tools", [None, [], [{"type": "thing_of_tomorrow"}]]),
    (CHAT, "tool_choice", [None, "auto", {"type": "function"}]),
    (COMPLETIONS, "prompt", ["", "x", ["a", "b"], [1, 2], [[1], [2]]]),
    (EMBEDDINGS, "input", ["x", ["a", "b"], [1, 2], [[1, 2], [3]]]),
    (EMBEDDINGS, "encoding_format", [None, "float", "base64"]),
    (RESPONSES, "input", ["x", [{"role": "user", "content": "x"}], [{"type": "thing_of_tomorrow", "content": 7}]]),
    (RESPONSES, "tools", [[{"type": "namespace"}, {"type": "web_search"}]]),
    (CHAT, "thing_of_tomorrow", [1, {"a": [None]}]),
]


@pytest.mark.parametrize(("endpoint", "name", "values"), ALLOWED)
def test_possible_values_pass(endpoint: Endpoint, name: str, values: list[object]) -> None:
    for value in values:
        request = parse(endpoint, json.dumps({**GOOD[endpoint], name: value}).encode())
        assert json.loads(bytes(request.members[name])) == value


def test_more_messages_than_any_model_reads_are_refused_without_building_them() -> None:
    message = b'{"role":"user","content":"a"}'
    body = b'{"model":"m","messages":[%b]}' % b",".join([message] * (MESSAGES_KEPT * 10))
    with pytest.raises(InvalidRequest, match="more than") as refused:
        parse(CHAT, body)
    assert refused.value.code == "context_length_exceeded"
