from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.schema import InferenceRequest
from gateway.signals.request_attributes import add_request
from policies.vocabulary import Endpoint


def asked(members: dict[str, object], added: int | None = None) -> dict[str, object]:
    raw = {
        name: msgspec.Raw(value if isinstance(value, bytes) else msgspec.json.encode(value))
        for name, value in members.items()
    }
    request = InferenceRequest(Endpoint.CHAT, "m", stream=False, include_usage=False, members=raw, body_bytes=1)
    request.output_tokens_added = added
    attributes: dict[str, str | int | float | bool | tuple[str, ...] | tuple[float, ...]] = {}
    add_request(attributes, request)
    return dict(attributes)


def test_settings_go_by_opentelemetrys_names() -> None:
    members = {"max_completion_tokens": 7, "temperature": 0.5, "top_p": 1, "seed": 3, "n": 2, "frequency_penalty": -1}
    assert asked({**members, "messages": [{"role": "user", "content": "secret"}], "user": "ada"}) == {
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 3,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.frequency_penalty": -1.0,
    }


def test_one_choice_is_not_worth_a_word() -> None:
    assert asked({"n": 1}) == {}


def test_the_limit_that_the_gateway_set_is_shown_as_the_upstream_saw_it() -> None:
    assert asked({}, added=4096) == {"gen_ai.request.max_tokens": 4096}


@pytest.mark.parametrize("value", [b'"1"', b"null", b"true", b"[1]", b"1e999", b"1" * 40, b"", b"9007199254740993"])
def test_what_is_no_sane_number_is_left_out(value: bytes) -> None:
    assert asked({"max_tokens": value}) == {}


@given(st.sampled_from(["temperature", "top_p", "seed", "n", "top_k"]), st.binary(max_size=40))
def test_no_bytes_make_it_raise(member: str, value: bytes) -> None:
    assert all(isinstance(found, int | float) for found in asked({member: value}).values())
