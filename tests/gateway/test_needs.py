from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from adapters.openai_request import parse
from gateway.errors import RequestError
from gateway.needs import needs_of, read_requirements, requirements_of
from policies.matching import way_of
from policies.route_rules import NO_REQUIREMENTS, Capability, Requirements
from policies.vocabulary import Deployment, Endpoint, Principal, Route, Strategy, Target
from tests.gateway.stages.a_call import a_call

if TYPE_CHECKING:
    from gateway.call import Call
    from policies.matching import Way

HELLO = {"role": "user", "content": "Hello there"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}


def way(
    *,
    context_tokens: int | None = None,
    lacks: frozenset[Capability] = frozenset(),
    requires: Requirements = NO_REQUIREMENTS,
) -> Way:
    deployment = Deployment("d", "p", "openai", "m", context_tokens=context_tokens, lacks=lacks)
    return way_of(Route("m", ("m",), Strategy.ORDERED, (Target(deployment),), requires=requires))


def asking(body: dict[str, Any], endpoint: Endpoint = Endpoint.CHAT, headers: tuple[tuple[str, str], ...] = ()) -> Call:
    call = a_call(*headers)
    prompt = {"messages": [HELLO]} if endpoint is Endpoint.CHAT else {}
    call.request = parse(endpoint, json.dumps({"model": "m", **prompt, **body}).encode())
    return call


def capabilities(body: dict[str, Any], endpoint: Endpoint = Endpoint.CHAT) -> set[str]:
    return {found.value for found in needs_of(asking(body, endpoint), way()).capabilities}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, set()),
        ({"stream": True}, {"stream"}),
        ({"tools": [{"type": "function"}], "stream": True}, {"tools", "stream"}),
        ({"tools": [], "functions": None}, set()),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"n": 1}, set()),
        ({"n": 2}, {"n"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_object"}}, {"json_mode"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
        ({"logprobs": True}, {"logprobs"}),
        ({"logprobs": False, "top_logprobs": 0}, set()),
        ({"reasoning_effort": "high"}, {"reasoning"}),
        ({"reasoning_effort": "none"}, set()),
        ({"reasoning_effort": "minimal"}, set()),
        ({"reasoning": {"max_tokens": 100}}, {"reasoning"}),
        ({"reasoning": {"effort": "none"}}, set()),
        ({"reasoning": {"enabled": False}}, set()),
        ({"modalities": ["text", "audio"]}, {"audio"}),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, {"images"}),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, set()),
    ],
)
def test_what_a_chat_needs(body: dict[str, Any], expected: set[str]) -> None:
    assert capabilities(body) == expected


@pytest.mark.parametrize(
    ("endpoint", "body", "expected"),
    [
        (Endpoint.COMPLETIONS, {"prompt": ["a", "b"]}, set()),
        (Endpoint.COMPLETIONS, {"prompt": "a", "n": 3, "logprobs": 0}, {"n", "logprobs"}),
        (Endpoint.EMBEDDINGS, {"input": ["a", "b"]}, set()),
        (Endpoint.RERANK, {"query": "a", "documents": ["a", "b"]}, set()),
        (Endpoint.RESPONSES, {"input": "a", "text": {"format": {"type": "json_schema"}}}, {"json_schema"}),
        (Endpoint.RESPONSES, {"input": "a", "reasoning": {"effort": "low"}}, {"reasoning"}),
        (Endpoint.RESPONSES, {"input": "a", "include": ["message.output_text.logprobs"]}, {"logprobs"}),
        (Endpoint.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, {"files"}),
    ],
)
def test_what_other_requests_need(endpoint: Endpoint, body: dict[str, Any], expected: set[str]) -> None:
    assert capabilities(body, endpoint) == expected


def test_going_on_from_an_assistant_is_noticed_where_somebody_cannot() -> None:
    begun = {"messages": [HELLO, {"role": "assistant", "content": "It is"}]}
    cannot = way(lacks=frozenset({Capability.PREFILL}))
    assert needs_of(asking(begun), cannot).capabilities == {Capability.PREFILL}
    assert needs_of(asking(begun), way()).capabilities == frozenset()
    assert needs_of(asking({}), cannot).capabilities == frozenset()


def test_tokens_are_bounded_only_where_they_may_decide() -> None:
    call = asking({"max_tokens": 9})
    assert needs_of(call, way()).input_tokens == 0
    needs = needs_of(call, way(context_tokens=10))
    assert needs.input_tokens > call.request.body_bytes
    assert needs.output_tokens == 9
    assert needs_of(asking({"tools": [{"type": "function"}]}), way(context_tokens=10)).input_tokens > 700


def test_key_route_and_caller_all_bind() -> None:
    call = asking({}, headers=(("X-Pointsman-Require", "region=eu-west-1"), ("x-pointsman-require", "data_class=pii")))
    call.principal = Principal("k", "k", requires=Requirements(frozenset({"eu"})))
    required = requirements_of(call, way(requires=Requirements(data_classes=frozenset({"secret"}))))
    assert required == (frozenset({"eu", "eu-west-1"}), frozenset({"secret", "pii"}))
    assert requirements_of(asking({}), way()) is NO_REQUIREMENTS


def test_the_callers_header_is_read_with_or_without_spaces() -> None:
    assert read_requirements([" region = eu ,data_class=a", "data_class=b"]) == (frozenset({"eu"}), frozenset("ab"))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "region",
        "region=",
        "region=eu;x",
        "zone=eu",
        "region=eu,",
        "region=eu data_class=a",
        "region=" + "x" * 65,
        ", ".join(["region=eu"] * 200),
        "region=\u00e9",
        "Region=eu",
    ],
)
def test_a_header_that_cannot_be_read_is_refused_and_never_ignored(value: str) -> None:
    with pytest.raises(RequestError, match="x-pointsman-require") as refused:
        read_requirements([value])
    assert (refused.value.status, refused.value.param) == (400, "x-pointsman-require")


@pytest.mark.parametrize(
    "name", ["x-pointsman-requires", "X_Pointsman_Require", "Pointsman-Require", "X-POINTSMAN-REQUIRED"]
)
def test_a_misspelt_requirement_is_refused_since_its_caller_believes_to_be_bound(name: str) -> None:
    with pytest.raises(RequestError, match="did you mean x-pointsman-require") as caught:
        requirements_of(asking({}, headers=((name, "region=eu"),)), way())
    assert (caught.value.param, type(caught.value.param)) == (name.lower(), str)


def test_other_headers_may_require_what_they_like() -> None:
    headers = (("X-Required-By", "somebody"), ("x-pointsman-route", "m"))
    assert requirements_of(asking({}, headers=headers), way()) == NO_REQUIREMENTS
