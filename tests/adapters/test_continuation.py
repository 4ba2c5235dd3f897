"""The request that goes on where a stream broke: the caller's own bytes, but for the beginning of the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from adapters.continuation import continued
from adapters.openai_request import parse
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest


def request(endpoint: Endpoint = Endpoint.CHAT, **fields: Any) -> InferenceRequest:
    body = {"model": "smart", "stream": True} | fields
    if endpoint is Endpoint.CHAT:
        body.setdefault("messages", [{"role": "user", "content": "Hi"}])
    return parse(endpoint, json.dumps(body).encode())


def member(continued_: InferenceRequest | None, name: str) -> Any:
    assert continued_ is not None
    return json.loads(bytes(continued_.members[name]))


def test_the_text_becomes_the_assistants_last_message() -> None:
    sent = request(messages=[{"role": "user", "content": "Hi", "x_unknown": [1.50]}], temperature=0.70, odd={"a": 1})
    made = continued(sent, 'Grüße "🚂"\n', 4)
    assert member(made, "messages") == [
        {"role": "user", "content": "Hi", "x_unknown": [1.5]},
        {"role": "assistant", "content": 'Grüße "🚂"\n'},
    ]
    assert made is not None
    assert list(made.members) == list(sent.members)
    assert bytes(made.members["messages"]).startswith(bytes(sent.members["messages"])[:-1])
    assert all(bytes(made.members[name]) == bytes(raw) for name, raw in sent.members.items() if name != "messages")
    assert made.body_bytes - sent.body_bytes == len(bytes(made.members["messages"])) - len(
        bytes(sent.members["messages"])
    )
    assert len(json.loads(bytes(sent.members["messages"]))) == 1


def test_a_beginning_of_the_callers_own_grows() -> None:
    begun = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Once", "prefix": True}]
    made = continued(request(messages=begun), " upon", 1)
    assert member(made, "messages")[1:] == [{"role": "assistant", "content": "Once upon", "prefix": True}]


@pytest.mark.parametrize(
    "last",
    [
        {"role": "assistant", "content": [{"type": "text", "text": "Once"}]},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": "Once", "tool_calls": []},
    ],
)
def test_a_beginning_that_is_more_than_text_has_no_room_for_another(last: dict[str, Any]) -> None:
    assert continued(request(messages=[{"role": "user", "content": "Hi"}, last]), " upon", 1) is None


def test_a_prompt_goes_on() -> None:
    made = continued(request(Endpoint.COMPLETIONS, prompt="Once", max_tokens=9), " upon", 1)
    assert member(made, "prompt") == "Once upon"
    assert member(made, "max_tokens") == 8


@pytest.mark.parametrize("prompt", [["Once"], [1, 2]])
def test_other_prompts_do_not(prompt: Any) -> None:
    assert continued(request(Endpoint.COMPLETIONS, prompt=prompt), " upon", 1) is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(("tokens", "left"), [(0, 10), (4, 6), (9, 1), (10, 1), (99, 1)])
def test_what_was_generated_counts_towards_the_limit(name: str, tokens: int, left: int) -> None:
    made = continued(request(Endpoint.CHAT, **{name: 10}), "text", tokens)
    assert member(made, name) == left
    assert made is not None
    assert made.output_tokens_max == left


def test_limits_that_nobody_set_stay_unset() -> None:
    made = continued(request(max_tokens=None), "text", 4)
    assert made is not None
    assert member(made, "max_tokens") is None
    assert (made.output_tokens_max, made.output_tokens_added) == (None, None)


def test_the_limit_that_the_gateway_set_counts_too() -> None:
    sent = request()
    sent.output_tokens_added = 100
    made = continued(sent, "text", 4)
    assert made is not None
    assert made.output_tokens_added == 96
    assert sent.output_tokens_added == 100
