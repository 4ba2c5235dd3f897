from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from adapters.schema import InferenceRequest
from gateway.limits.extras import NO_EXTRAS, SEARCHES_MAX, SEARCHES_USUAL, Extras, extras_of
from policies.vocabulary import Endpoint

SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def extras(**body: Any) -> Extras:
    members = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in body.items()}
    return extras_of(InferenceRequest(Endpoint.CHAT, "m", False, False, members, 0))


def test_a_plain_call_has_none() -> None:
    assert extras(messages=[]) is NO_EXTRAS
    assert extras(tools=[{"type": "function", "function": {"name": "f"}}]) is NO_EXTRAS


@pytest.mark.parametrize(
    ("asked", "service"),
    [
        ("priority", "priority"),
        ("flex", "flex"),
        ("auto", ""),
        ("default", ""),
        ("standard_only", ""),
        ("on_demand", ""),
        (None, ""),
        (5, ""),
        (["flex"], ""),
        ("x" * 41, ""),
    ],
)
def test_the_service_that_is_asked_for(asked: object, service: str) -> None:
    assert extras(service_tier=asked).service == service


@pytest.mark.parametrize(
    ("body", "searches"),
    [
        ({"web_search_options": {}}, SEARCHES_USUAL),
        ({"tools": [SEARCH]}, SEARCHES_USUAL),
        ({"tools": [SEARCH | {"max_uses": 3}]}, 3),
        ({"tools": [SEARCH | {"max_uses": 3}, {"type": "web_search"}]}, 3 + SEARCHES_USUAL),
        ({"tools": [SEARCH | {"max_uses": -3}]}, SEARCHES_USUAL),
        ({"tools": [SEARCH | {"max_uses": 10**9}]}, SEARCHES_MAX),
        ({"tools": [SEARCH], "max_tool_calls": 2}, 2),
        ({"tools": [SEARCH], "max_tool_calls": "2"}, SEARCHES_USUAL),
        ({"tools": [{"type": 5, "name": "web_search"}]}, 0),
        ({"tools": "web_search"}, 0),
    ],
)
def test_as_many_searches_as_the_request_lets_the_model_make(body: dict[str, Any], searches: int) -> None:
    assert extras(**body).searches == searches


def test_an_escaped_letter_hides_no_search() -> None:
    members = {"tools": msgspec.Raw(b'[{"type":"web\\u005fsearch","max_uses":4}]')}
    assert extras_of(InferenceRequest(Endpoint.CHAT, "m", False, False, members, 0)).searches == 4
