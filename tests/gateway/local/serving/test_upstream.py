"""The upstream with the bundled model in a real worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import pytest_asyncio

from gateway.errors import RequestError, UpstreamError
from gateway.local.frames import Load, Tuning
from gateway.local.serving.engines import Engines
from gateway.local.serving.keeping import EngineSpec
from gateway.local.serving.supervisor import Supervisor
from gateway.local.serving.upstream import LocalUpstream
from policies.vocabulary import Endpoint, FailureKind, Timeouts
from tests.gateway.local.serving.upstream_calls import DEPLOYMENT, HI, exchange, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.upstream import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG: list[dict[str, Any]] = [{"role": "user", "content": "word " * 6000}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "size": {"enum": ["small", "large"]}},
    "required": ["city", "size"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "find_city", "description": "Finds a city", "parameters": CITY}},
    {"type": "function", "function": {"name": "give_up", "parameters": {"type": "object", "properties": {}}}},
]


async def text_of(upstream: LocalUpstream, **body: Any) -> str:
    reply = await whole(upstream, **body)
    text: str = reply["choices"][0]["message"]["content"]
    return text


async def drain(answer: Answer) -> list[dict[str, Any]]:
    """The rest of a stream's chunks, which must end honestly."""
    data = b""
    while piece := await answer.read():
        data += piece
    events = data.decode().removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def until_idle(upstream: LocalUpstream) -> None:
    async with asyncio.timeout(10):
        while upstream.describe()["in_engine"]:  # noqa: ASYNC110 - the place is given back without a word
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def upstream(model_path: Path) -> AsyncIterator[LocalUpstream]:
    spec = EngineSpec("bundled", Load(str(model_path), tuning=Tuning(slots=2, threads=1)))
    upstream = LocalUpstream(DEPLOYMENT, spec, Engines(lambda made_from: Supervisor(made_from.load)))
    await upstream.start()
    yield upstream
    assert upstream.describe()["in_engine"] == 0
    await upstream.close()


async def test_a_request_while_the_model_loads_waits_for_it(upstream: LocalUpstream) -> None:
    reply = await whole(upstream)
    assert upstream.ready
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "smollm2"
    assert reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] == "length"
    usage = reply["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + 4 > 24
    live = upstream.describe()
    assert (live["state"], live["context_tokens"], live["in_engine"]) == ("ready", 8192, 0)


async def test_a_stream_says_what_the_whole_answer_says(upstream: LocalUpstream) -> None:
    text = await text_of(upstream, max_tokens=10)
    answer = await upstream.send(exchange(max_tokens=10, stream=True, stream_options={"include_usage": True}))
    assert answer.first_token_s is not None
    *chunks, usage = await drain(answer)
    answer.close()
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == text
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 10
    assert answer.tally.usage is not None
    assert (answer.tally.usage.output_tokens, answer.tally.usage.estimated) == (10, False)


async def test_a_stop_string_is_never_shown(upstream: LocalUpstream) -> None:
    text = await text_of(upstream, max_tokens=12)
    stop = text[5:12]
    reply = await whole(upstream, max_tokens=12, stop=[stop])
    assert reply["choices"][0]["message"]["content"] == text[: text.index(stop)]
    assert reply["choices"][0]["finish_reason"] == "stop"


async def test_seeds_repeat_and_differ(upstream: LocalUpstream) -> None:
    first, again, other = [await text_of(upstream, temperature=1, seed=seed, max_tokens=8) for seed in (1, 1, 2)]
    assert first == again != other


async def test_two_choices_share_a_prompt(upstream: LocalUpstream) -> None:
    reply = await whole(upstream, temperature=1, seed=1, n=2)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1]
    assert reply["choices"][0]["message"] != reply["choices"][1]["message"]
    assert reply["usage"]["completion_tokens"] == 8


async def test_a_known_prompt_is_reported_as_cached(upstream: LocalUpstream) -> None:
    messages = [{"role": "system", "content": "You know the sea. " * 20}, *HI]
    await whole(upstream, messages=messages)
    reply = await whole(upstream, messages=messages)
    cached = reply["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert 64 <= cached < reply["usage"]["prompt_tokens"]


async def test_a_json_schema_is_obeyed(upstream: LocalUpstream) -> None:
    wrapped = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}}
    jsonschema.validate(json.loads(await text_of(upstream, max_tokens=100, response_format=wrapped)), CITY)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "find_city"}}])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_forced_tool_is_called(upstream: LocalUpstream, choice: str | dict[str, object], stream: bool) -> None:  # noqa: FBT001
    tools = TOOLS if choice != "required" else TOOLS[:1]
    body: dict[str, Any] = {"max_tokens": 100, "tools": tools, "tool_choice": choice}
    if stream:
        chunks = await drain(await upstream.send(exchange(stream=True, **body)))
        calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
        name = calls[0]["function"]["name"]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        reason = chunks[-1]["choices"][0]["finish_reason"]
    else:
        (chosen,) = (await whole(upstream, **body))["choices"]
        (call,) = chosen["message"]["tool_calls"]
        name, arguments, reason = call["function"]["name"], call["function"]["arguments"], chosen["finish_reason"]
    assert name == "find_city"
    jsonschema.validate(json.loads(arguments), CITY)
    assert reason == "tool_calls"


async def test_free_tools_are_ignored_and_a_header_says_so(upstream: LocalUpstream) -> None:
    answer = await upstream.send(exchange(tools=TOOLS, verbosity="low", future_field={"a": 1}))
    assert answer.headers == (("x-pointsman-ignored", "verbosity, future_field"),)
    assert b"tool_calls" not in (answer.body or b"")


async def test_logprobs_spell_the_text(upstream: LocalUpstream) -> None:
    reply = await whole(upstream, logprobs=True, top_logprobs=2)
    choice = reply["choices"][0]
    entries = choice["logprobs"]["content"]
    spelled = b"".join(bytes(entry["bytes"]) for entry in entries).decode()
    assert spelled == choice["message"]["content"]
    assert all(len(entry["top_logprobs"]) == 2 and entry["logprob"] <= 0 for entry in entries)


async def test_completions_continue_a_text(upstream: LocalUpstream) -> None:
    reply = await whole(upstream, Endpoint.COMPLETIONS, prompt=["Once upon a time"], logprobs=1)
    assert reply["object"] == "text_completion"
    assert reply["choices"][0]["text"] == "".join(reply["choices"][0]["logprobs"]["tokens"])
    assert reply["usage"]["prompt_tokens"] == 4


async def test_an_answer_that_was_begun_goes_on(upstream: LocalUpstream) -> None:
    sure: list[dict[str, Any]] = [{"role": "user", "content": "What is 2+2?"}]
    answer = await text_of(upstream, messages=sure, max_tokens=16)
    first_word = answer.partition(" ")[0]
    begun = [*sure, {"role": "assistant", "content": first_word}]
    assert first_word + await text_of(upstream, messages=begun, max_tokens=16) == answer


async def test_a_prompt_that_is_too_long_says_by_how_much(upstream: LocalUpstream) -> None:
    with pytest.raises(UpstreamError, match=r"8192 tokens.*prompt has \d+ tokens") as refusal:
        await upstream.send(exchange(messages=[{"role": "user", "content": "word " * 9000}]))
    assert (refusal.value.failure.status, refusal.value.failure.code) == (400, "context_length_exceeded")


async def test_what_is_not_supported_is_refused_by_name(upstream: LocalUpstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(RequestError) as refusal:
        await upstream.send(exchange(messages=[{"role": "user", "content": [image]}]))
    assert (refusal.value.status, refusal.value.param) == (400, "messages[0].content")


async def test_two_callers_are_both_answered(upstream: LocalUpstream) -> None:
    texts = await asyncio.gather(*(text_of(upstream, max_tokens=6) for _ in range(3)))
    assert len(set(texts)) == 1


@pytest.mark.parametrize("when", ["in line", "while it reads", "while it writes"])
async def test_a_caller_who_leaves_frees_the_engine_at_once(upstream: LocalUpstream, when: str) -> None:
    """Its 6,000 tokens of prompt alone would take half a minute."""
    if when == "while it writes":
        answer = await upstream.send(exchange(max_tokens=2000, stream=True))
        answer.close()
    else:
        leaving = [asyncio.create_task(upstream.send(exchange(messages=LONG))) for _ in range(2)]
        await asyncio.sleep(0.15 if when == "while it reads" else 0)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
    assert upstream.describe()["in_engine"] == 0
    async with asyncio.timeout(10):
        await whole(upstream, max_tokens=1)


async def test_no_first_token_in_time_is_a_timeout(upstream: LocalUpstream) -> None:
    with pytest.raises(UpstreamError) as late:
        await upstream.send(exchange(timeouts=Timeouts(first_token_s=0.1), messages=LONG, stream=True))
    assert late.value.failure.kind is FailureKind.FIRST_TOKEN
    await until_idle(upstream)


async def test_kill_nine_costs_its_own_request_alone(upstream: LocalUpstream) -> None:
    answer = await upstream.send(exchange(max_tokens=2000, stream=True))
    await answer.read()
    waiting = asyncio.create_task(upstream.send(exchange(max_tokens=1)))
    await asyncio.sleep(0)
    pid = upstream.describe()["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UpstreamError) as crash:
        await drain(answer)
    assert crash.value.failure.kind is FailureKind.CRASHED
    assert crash.value.failure.maybe_billed
    with pytest.raises(UpstreamError) as unstarted:
        await waiting
    assert unstarted.value.failure.kind in (FailureKind.LOST, FailureKind.CRASHED)  # it may have been made ready
    assert not unstarted.value.failure.maybe_billed
    assert await text_of(upstream)
    assert upstream.describe()["restarts"] == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
