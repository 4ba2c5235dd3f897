from __future__ import annotations

import msgspec
import pytest

from adapters.schema import InferenceRequest
from gateway.prompts.text import IMAGE_TOKENS, LOW_DETAIL_IMAGE_TOKENS, MESSAGE_TOKENS, REPLY_TOKENS, prompt_of
from policies.vocabulary import Endpoint


def request(endpoint: Endpoint, **members: object) -> InferenceRequest:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in members.items()}
    return InferenceRequest(endpoint, "m", False, False, raw, 100)


def test_a_conversation_with_tools() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
    messages = [
        {"role": "user", "content": "Weather?", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    tools = [{"type": "function", "function": {"name": "weather"}}]
    prompt = prompt_of(request(Endpoint.CHAT, messages=messages, tools=tools, temperature=1))
    words = {"user", "Weather?", "ann", "assistant", "weather", '{"city":"Bonn"}', "tool", "rain"}
    assert set(prompt.texts) == words | {msgspec.json.encode(tools).decode()}
    assert prompt.other_tokens == 3 * MESSAGE_TOKENS + REPLY_TOKENS


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}, IMAGE_TOKENS),
        ({"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}}, LOW_DETAIL_IMAGE_TOKENS),
        ({"type": "input_image", "image_url": "https://x", "detail": "low"}, LOW_DETAIL_IMAGE_TOKENS),
        ({"type": "input_audio", "input_audio": {"data": "A" * 20_000, "format": "wav"}}, 11),
        ({"type": "file", "file": {"file_data": "A" * 4000}}, 3),
    ],
)
def test_media_are_guessed_and_never_taken_for_text(part: dict[str, object], tokens: int) -> None:
    prompt = prompt_of(request(Endpoint.CHAT, messages=[{"role": "user", "content": [part]}]))
    assert prompt.texts == ["user"]
    assert prompt.other_tokens == tokens + MESSAGE_TOKENS + REPLY_TOKENS


@pytest.mark.parametrize(
    ("endpoint", "members", "texts", "tokens"),
    [
        (Endpoint.COMPLETIONS, {"prompt": "a"}, ["a"], 0),
        (Endpoint.COMPLETIONS, {"prompt": ["a", "b"], "suffix": "c"}, ["a", "b", "c"], 0),
        (Endpoint.COMPLETIONS, {"prompt": [1, 2, 3]}, [], 3),
        (Endpoint.EMBEDDINGS, {"input": [[1, 2], [3]]}, [], 3),
        (Endpoint.EMBEDDINGS, {"input": ["a", "b"]}, ["a", "b"], 0),
        (Endpoint.RESPONSES, {"input": "a", "instructions": "b"}, ["b", "a"], REPLY_TOKENS),
        (Endpoint.RERANK, {"query": "q", "documents": ["a", {"text": "b"}]}, ["q", "a", "b"], 0),
        (
            Endpoint.RESPONSES,
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
            ["user", "a"],
            REPLY_TOKENS + MESSAGE_TOKENS,
        ),
        (Endpoint.CHAT, {}, [], REPLY_TOKENS),
        (Endpoint.CHAT, {"messages": None}, [], REPLY_TOKENS),
        (Endpoint.CHAT, {"messages": [True, 1.5, None]}, [], REPLY_TOKENS),
    ],
)
def test_prompts_of_every_shape(endpoint: Endpoint, members: dict[str, object], texts: list[str], tokens: int) -> None:
    prompt = prompt_of(request(endpoint, **members))
    assert (sorted(prompt.texts), prompt.other_tokens) == (sorted(texts), tokens)


def test_json_too_deep_to_read_counts_as_text() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    odd = InferenceRequest(Endpoint.CHAT, "m", False, False, {"messages": msgspec.Raw(deep)}, 100)
    assert prompt_of(odd).texts == [deep.decode()]


def test_a_query_is_read_again_with_each_document() -> None:
    asked = request(Endpoint.RERANK, query="q" * 38, documents=["a"] * 11)
    asked.choices = 11
    assert prompt_of(asked).other_tokens == 10 * 40 // 4
