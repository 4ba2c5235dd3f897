"""The official Python SDK, blocking and async: what it sends and what it gets is what it would be without a gateway."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncOpenAI, Omit, OpenAI
from pydantic import BaseModel

from tests.end_to_end.conftest import UPSTREAM_KEY
from tests.gateway_process import KEY
from tests.openai_upstream import CALL, FLOATS, MODELS, STATUSES, TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from tests.end_to_end.conftest import Service

MODEL = "gpt-5-mini"
EMBEDDER = "text-embedding-3-small"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Where am I? ☃ \u2028 \x7f"}]}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "timeout": 1.0},
    },
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
IMAGE: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
RAN = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": CALL}]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21}'},
]
PARTS = [
    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": [{"type": "text", "text": "Which?"}, IMAGE, AUDIO, FILE], "name": "ann"},
]
SETTINGS = {
    "n": 2,
    "seed": 42,
    "stop": ["\n", "END"],
    "temperature": 0.25,
    "top_p": 0.5,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"50256": -100},
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "max_completion_tokens": 100,
    "metadata": {"team": "ünïcode"},
    "user": "u-1",
    "store": False,
    "service_tier": "flex",
    "verbosity": "low",
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "parallel_tool_calls": False,
    "safety_identifier": "s",
    "web_search_options": {},
}
CODEX: Any = {
    "model": MODEL,
    "instructions": "You are a coding agent.",
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
    "tools": [
        {"type": "function", "name": "shell", "strict": False, "parameters": SCHEMA},
        {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "x", "parameters": {}}]},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "extra_body": {"client_metadata": {"x-codex-installation-id": "1"}},
    "extra_headers": {"originator": "codex_cli_rs", "session-id": "1", "x-codex-turn-metadata": "{}"},
}
FUTURE = {"field_of_tomorrow": {"a": [1, 2.50, 1e3, None, "\u00e9"]}, "top_k": 3, "deeply": [[[{}]]]}


def chat(**more: Any) -> Callable[[Any], Any]:
    return lambda client: client.chat.completions.create(**ASK | more)


CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": chat(),
    "tools": chat(tools=[TOOL], tool_choice="required"),
    "named tool": chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "get_weather"}}),
    "tool results": chat(messages=RAN, tools=[TOOL], tool_choice="none"),
    "json schema": chat(response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}),
    "json object": chat(response_format={"type": "json_object"}),
    "image, audio and file parts": chat(messages=PARTS),
    "every setting": chat(**SETTINGS),
    "reasoning effort": chat(reasoning_effort="high"),
    "fields that do not exist yet": chat(extra_body=FUTURE),
    "stream": chat(stream=True),
    "stream with usage": chat(stream=True, stream_options={"include_usage": True}),
    "stream with other options": chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": True}),
    "stream of tools": chat(stream=True, tools=[TOOL], stream_options={"include_usage": True}),
    "stream of choices": chat(stream=True, n=2, logprobs=True, stream_options={"include_usage": True}),
    "completion": lambda client: client.completions.create(model=MODEL, prompt="Once", max_tokens=5, suffix="end"),
    "completion stream": lambda client: client.completions.create(model=MODEL, prompt=["Once"], stream=True),
    "embedding": lambda client: client.embeddings.create(model=EMBEDDER, input="Grüße"),
    "embeddings": lambda client: client.embeddings.create(model=EMBEDDER, input=["a", "b"], dimensions=3, user="u"),
    "embeddings as floats": lambda client: client.embeddings.create(
        model=EMBEDDER, input=["a"], encoding_format="float"
    ),
    "embeddings of token ids": lambda client: client.embeddings.create(model=EMBEDDER, input=[[1, 2], [3]]),
    "response": lambda client: client.responses.create(
        model=MODEL, input="Hi", instructions="Be brief.", metadata={"a": "b"}, reasoning={"effort": "low"}
    ),
    "response with parts": lambda client: client.responses.create(
        model=MODEL,
        input=[{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE["image_url"]["url"]}]}],
        tools=[{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}, {"type": "web_search"}],
        include=["reasoning.encrypted_content"],
        store=False,
        extra_body=FUTURE,
    ),
    "what Codex sends": lambda client: client.responses.create(**CODEX),
    "response stream": lambda client: client.responses.create(model=MODEL, input="Hi", stream=True),
}  # fmt: skip


@pytest.fixture
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=service.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=service.base_url, api_key=KEY, max_retries=0) as made:
        yield made


def collected(result: Any) -> list[dict[str, Any]]:
    return dumped([result] if isinstance(result, BaseModel) else result)


def dumped(parts: Iterable[Any]) -> list[dict[str, Any]]:
    """Chunks of a stream that is metered say `"usage": null`, asked or not; to a caller that is the same as nothing."""
    bodies = [part.to_dict() for part in parts]
    return [{name: value for name, value in body.items() if (name, value) != ("usage", None)} for body in bodies]


def without_metering(body: bytes, name: str) -> bytes:
    """The gateway asks for usage in streams whose callers did not; that is all it may add."""
    if name in ("stream", "completion stream"):
        assert body.endswith(b',"stream_options":{"include_usage":true}}')
        body = body.replace(b',"stream_options":{"include_usage":true}', b"")
    return body


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_the_same_with_and_without_the_gateway(service: Service, client: OpenAI, name: str) -> None:
    with OpenAI(base_url=service.direct_url, api_key=UPSTREAM_KEY) as direct:
        expected = collected(CALLS[name](direct))
        sent = service.last

    got = collected(CALLS[name](client))

    assert got == expected
    assert without_metering(service.last.body, name) == sent.body
    assert service.last.path == sent.path


@pytest.mark.parametrize("name", CALLS)
async def test_an_async_call_is_the_same_too(service: Service, async_client: AsyncOpenAI, name: str) -> None:
    with OpenAI(base_url=service.direct_url, api_key=UPSTREAM_KEY) as direct:
        expected = collected(CALLS[name](direct))

    result = await CALLS[name](async_client)

    parts = [result] if isinstance(result, BaseModel) else [part async for part in result]
    assert dumped(parts) == expected


def test_no_header_of_the_caller_reaches_the_provider(service: Service, client: OpenAI) -> None:
    client.chat.completions.create(**ASK, extra_headers={"x-secret": "s", "openai-organization": "org", "cookie": "c"})

    told = service.last.headers
    assert told["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert KEY.encode() not in service.last.raw_head
    assert [name for name in told if name.startswith("x-stainless") or name in ("x-secret", "cookie")] == []
    assert "openai-organization" not in told  # this provider's `forward_headers` does not name it


# streams


def test_usage_comes_in_a_last_chunk_of_its_own_if_asked_for(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))

    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (11, 7)
    assert [chunk.usage for chunk in others] == [None] * len(others)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in others) == TEXT


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}], ids=["unsaid", "declined"])
def test_no_usage_chunk_comes_unasked(client: OpenAI, options: dict[str, Any]) -> None:
    chunks = list(client.chat.completions.create(**ASK, stream=True, **options))

    assert [len(chunk.choices) for chunk in chunks] == [1] * len(chunks)
    assert {chunk.usage for chunk in chunks} == {None}


def test_the_stream_helper_puts_a_tool_call_together(client: OpenAI) -> None:
    with client.chat.completions.stream(**ASK, tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()

    assert "tool_calls.function.arguments.delta" in kinds
    assert kinds[-1] == "tool_calls.function.arguments.done"
    calls = final.choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in calls] == [(CALL["name"], CALL["arguments"])]
    assert final.choices[0].finish_reason == "tool_calls"


async def test_the_async_stream_helper_gathers_text_and_usage(async_client: AsyncOpenAI) -> None:
    async with async_client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        text = "".join([event.delta async for event in stream if event.type == "content.delta"])
        final = await stream.get_final_completion()

    assert text == final.choices[0].message.content == TEXT
    assert final.usage is not None
    assert final.usage.total_tokens == 18


def test_the_responses_stream_helper_gathers_the_text(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Hi") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert "".join(deltas) == final.output_text == TEXT
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens == 2


async def test_many_calls_at_once_do_not_mix(async_client: AsyncOpenAI) -> None:
    async def whole(name: str) -> set[str | None]:
        return {(await async_client.chat.completions.create(**ASK, user=name)).system_fingerprint}

    async def streamed(name: str) -> set[str | None]:
        stream = await async_client.chat.completions.create(**ASK, user=name, stream=True)
        return {chunk.system_fingerprint async for chunk in stream}

    names = [f"caller {number}" for number in range(40)]
    calls = [(whole if number % 2 else streamed)(name) for number, name in enumerate(names)]
    assert await asyncio.gather(*calls) == [{name} for name in names]


# structured output and embeddings


class Weather(BaseModel):
    city: str
    degrees: int


def test_parse_returns_the_pydantic_model(service: Service, client: OpenAI) -> None:
    parsed = client.chat.completions.parse(**ASK, response_format=Weather).choices[0].message.parsed

    assert parsed == Weather(city="Paris", degrees=21)
    asked = json.loads(service.last.body)["response_format"]
    assert asked["json_schema"]["strict"] is True
    assert asked["json_schema"]["schema"]["required"] == ["city", "degrees"]


def test_responses_parse_returns_it_too(client: OpenAI) -> None:
    parsed = client.responses.parse(model=MODEL, input="Hi", text_format=Weather)

    assert parsed.output_parsed == Weather(city="Paris", degrees=21)


async def test_async_parse_returns_the_pydantic_model(async_client: AsyncOpenAI) -> None:
    completion = await async_client.chat.completions.parse(**ASK, response_format=Weather)

    assert completion.choices[0].message.parsed == Weather(city="Paris", degrees=21)


def test_embeddings_come_as_base64_by_default_and_are_decoded(service: Service, client: OpenAI) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input=["a", "b"])

    assert json.loads(service.last.body)["encoding_format"] == "base64"
    assert [(each.index, tuple(each.embedding)) for each in answer.data] == [(0, FLOATS), (1, FLOATS)]
    assert answer.usage.prompt_tokens == 6


# models, headers, keys, base URLs


def test_models_are_listed_and_shown(client: OpenAI) -> None:
    listed = [model.id for model in client.models.list()]

    assert listed == [*MODELS, *(f"status-{status}" for status in STATUSES)]
    shown = client.models.retrieve(MODEL)
    assert (shown.id, shown.object, shown.owned_by) == (MODEL, "model", "pointsman")


def test_raw_responses_show_the_gateways_headers(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**ASK)

    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    assert raw.headers["x-pointsman-route"] == MODEL
    assert raw.headers["x-pointsman-deployment"] == MODEL
    assert raw.headers["x-pointsman-attempts"] == "1"
    completion = raw.parse()
    assert completion.choices[0].message.content == TEXT
    assert completion._request_id == raw.request_id


def test_streamed_responses_show_their_headers_before_their_body(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-pointsman-attempts"] == "1"
        lines = list(response.iter_lines())

    assert lines[-2:] == ["data: [DONE]", ""]


async def test_async_streamed_responses_do_too(async_client: AsyncOpenAI) -> None:
    async with async_client.chat.completions.with_streaming_response.create(**ASK) as response:
        body = json.loads(await response.read())
        assert response.request_id is not None

    assert body["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_the_key_may_come_in_another_header(service: Service, header: str) -> None:
    only: dict[str, str | Omit] = {"Authorization": Omit(), header: KEY}
    with OpenAI(base_url=service.base_url, api_key="unused") as client:
        assert client.chat.completions.create(**ASK, extra_headers=only).choices[0].message.content == TEXT
        assert client.models.retrieve(MODEL, extra_headers=only).id == MODEL


@pytest.mark.parametrize("suffix", ["/v1", "/v1/", "", "/"])
def test_the_base_url_may_lack_the_version(service: Service, suffix: str) -> None:
    root = service.base_url.removesuffix("/v1")
    with OpenAI(base_url=root + suffix, api_key=KEY) as client:
        assert client.chat.completions.create(**ASK).choices[0].message.content == TEXT
        assert client.completions.create(model=MODEL, prompt="x").choices[0].text == TEXT
        assert len(client.embeddings.create(model=EMBEDDER, input="x").data) == 1
        assert client.responses.create(model=MODEL, input="x").output_text == TEXT
        assert client.models.list().data[0].id == MODEL


def test_usage_and_cost_are_in_the_ledger(service: Service, client: OpenAI) -> None:
    request_id = client.chat.completions.with_raw_response.create(**ASK, reasoning_effort="high").request_id

    rows = service.ledger_rows(request_id)
    assert [(row["key_name"], row["route"], row["outcome"], row["estimated"]) for row in rows] == [
        ("tests", MODEL, "ok", 0)
    ]
    counts = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
    assert tuple(rows[0][name] for name in counts) == (11, 4, 12, 5)
    # 7 fresh and 4 cached input tokens, 12 of output, at 0.25, 0.025 and 2 dollars a million
    assert rows[0]["cost_nanousd"] == 7 * 250 + 4 * 25 + 12 * 2000
