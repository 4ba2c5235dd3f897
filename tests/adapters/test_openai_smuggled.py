"""What a caller must not tell an upstream past the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.openai_request import parse
from adapters.openai_smuggled import MEANT, OVERRIDES, SECOND_NAMES
from adapters.schema import InvalidRequest
from policies.vocabulary import Endpoint

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def refused(endpoint: Endpoint, body: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as found:
        parse(endpoint, json.dumps(body, ensure_ascii=False).encode())
    return found.value


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_TOKENS", "max_tokens"),
        ("Model", "model"),
        ("N", "n"),
        ("max_to\u212aens", "max_tokens"),  # the sign for kelvin
        ("\u017ftream", "stream"),  # the long s
        ("Web_Search_Options", "web_search_options"),
        ("API_BASE", "api_base"),
    ],
)
def test_a_name_in_another_case_is_refused_since_some_servers_do_not_mind_case(name: str, meant: str) -> None:
    said = refused(Endpoint.CHAT, CHAT | {"max_tokens": 1, name: 100_000})
    assert (said.status, said.code, said.param) == (400, "unknown_parameter", name)
    assert f"'{meant}'" in said.message


@pytest.mark.parametrize(("name", "instead"), SECOND_NAMES.items())
def test_a_second_name_of_what_limits_go_by_is_refused(name: str, instead: str) -> None:
    said = refused(Endpoint.CHAT, CHAT | {"max_tokens": 1, name: 100_000})
    assert (said.status, said.code, said.param) == (400, "unsupported_parameter", name)
    assert f"'{instead}'" in said.message


def test_a_response_in_the_background_is_refused_since_nobody_would_hear_what_it_used() -> None:
    said = refused(Endpoint.RESPONSES, {"model": "m", "input": "x", "background": True})
    assert (said.status, said.code, said.param) == (400, "unsupported_parameter", "background")
    assert parse(Endpoint.RESPONSES, b'{"model":"m","input":"x","background":false}').generations == 1


def test_what_nobody_here_knows_rides_along_in_any_case() -> None:
    members = {"topK": 3, "Seedling": 1, "\u00c4": None, "min_p": 0.1}
    request = parse(Endpoint.CHAT, json.dumps(CHAT | members).encode())
    assert request.members.keys() == CHAT.keys() | members.keys()


def test_every_name_that_means_something_is_written_in_lower_case() -> None:
    assert OVERRIDES < MEANT
    assert all(name == name.casefold() for name in MEANT)
