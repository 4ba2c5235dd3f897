from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adapters.schema import InferenceRequest
from gateway.litellm.request import RefusedRequest, chat_arguments, embedding_arguments, require_endpoint, wants_base64
from policies.vocabulary import Endpoint


def request(
    members: dict[str, Any] | None = None, *, stream: bool = False, endpoint: Endpoint = Endpoint.CHAT, **more: object
) -> InferenceRequest:
    members = more | (members or {})
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in members.items()}
    return InferenceRequest(endpoint, "route", stream, False, raw, 100)


DANGEROUS: dict[str, Any] = dict.fromkeys(
    (
        "api_base", "base_url", "api_key", "custom_llm_provider", "mock_response", "fallbacks", "extra_headers",
        "timeout", "client", "model_list", "callbacks", "azure_ad_token", "extra_body", "num_retries",
        "proxies", "metadata",
    ),
    "x",
)  # fmt: skip


def test_nothing_dangerous_becomes_an_argument() -> None:
    members = chat_arguments(request(DANGEROUS, messages=[], temperature=1), takes_extra=False)
    assert members == {"messages": [], "temperature": 1}


def test_what_is_unknown_travels_in_the_body_of_those_who_speak_openai() -> None:
    arguments = chat_arguments(request(DANGEROUS, messages=[], min_p=0.1), takes_extra=True)
    assert arguments == {"messages": [], "extra_body": {"min_p": 0.1, "num_retries": "x"}}


def test_a_stream_always_asks_for_usage() -> None:
    arguments = chat_arguments(
        request(stream=True, messages=[], stream_options={"include_usage": False}), takes_extra=False
    )
    assert arguments["stream_options"] == {"include_usage": True}
    assert arguments["stream"] is True


@pytest.mark.parametrize(
    ("name", "idle", "active"),
    [
        ("store", True, None),
        ("logprobs", False, True),
        ("n", 1, 2),
        ("service_tier", "auto", "flex"),
        ("parallel_tool_calls", True, False),
        ("presence_penalty", 0, 0.5),
    ],
)
def test_settings_in_force_anyway_are_not_sent_to_who_might_refuse_them(
    name: str, idle: object, active: object
) -> None:
    assert name not in chat_arguments(request({name: idle}, messages=[]), takes_extra=False)
    assert chat_arguments(request({name: idle}, messages=[]), takes_extra=True)[name] == idle
    if active is not None:
        assert chat_arguments(request({name: active}, messages=[]), takes_extra=False)[name] == active


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}},
        {"type": "image_url", "image_url": {"url": " HTTPS://example.com/a.png"}},
        {"type": "image_url", "image_url": "http://10.0.0.1/"},
        {"type": "image_url", "image_url": {"url": "/etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "gopher://10.0.0.1"}},
        {"type": "file", "file": {"file_id": "https://example.com/a.pdf"}},
        {"type": "file", "file": {"file_data": "http://example.com/a.pdf"}},
        {"type": "image", "source": {"type": "url", "url": "//example.com/a.png"}},
        {"type": "video_url", "video_url": {"url": ["https://example.com"]}},
        {"type": "invented", "deep": [{"url": {"deeper": "https://example.com"}}]},
    ],
)
def test_web_addresses_and_paths_in_messages_are_refused(part: dict[str, Any]) -> None:
    messages = [
        {"role": "user", "content": "fine"},
        {"role": "user", "content": [{"type": "text", "text": "see"}, part]},
    ]
    with pytest.raises(RefusedRequest) as raised:
        chat_arguments(request(messages=messages), takes_extra=False)
    assert (raised.value.failure.status, raised.value.failure.code) == (400, "invalid_image_url")
    assert "messages[1]" in raised.value.failure.message


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "read https://example.com/ please"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "/9j/4AAQSkZJRg==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-abc123"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
    ],
)
def test_data_and_plain_text_pass(part: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": [part]}]
    assert chat_arguments(request(messages=messages), takes_extra=False)["messages"] == messages


def test_mcp_tools_are_refused() -> None:
    tools = [{"type": "mcp", "server_url": "litellm_proxy"}]
    with pytest.raises(RefusedRequest):
        chat_arguments(request(messages=[], tools=tools), takes_extra=True)


@pytest.mark.parametrize("messages", [None, 7, "text", [1, None, []], [{"content": [1, None]}], {"a": 1}])
def test_odd_messages_are_left_for_the_provider_to_refuse(messages: object) -> None:
    assert chat_arguments(request(messages=messages), takes_extra=False).get("messages") == messages


def test_embeddings_take_their_own_members() -> None:
    asked = request(endpoint=Endpoint.EMBEDDINGS, input=["a"], dimensions=2, encoding_format="base64", api_base="x")
    assert embedding_arguments(asked) == {"input": ["a"], "dimensions": 2}
    assert wants_base64(asked)
    assert not wants_base64(request(endpoint=Endpoint.EMBEDDINGS, input=["a"]))


def test_other_endpoints_are_not_served() -> None:
    require_endpoint(Endpoint.CHAT)
    with pytest.raises(RefusedRequest, match="responses"):
        require_endpoint(Endpoint.RESPONSES)


def test_a_limit_of_ours_is_an_argument_under_litellms_own_name() -> None:
    ours = request(messages=[], max_tokens=None)
    assert "max_tokens" not in chat_arguments(ours, takes_extra=True)
    ours.output_tokens_added = 77
    assert chat_arguments(ours, takes_extra=True) == {"messages": [], "max_tokens": 77}
