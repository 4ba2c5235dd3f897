"""Anthropic, Bedrock, Cohere and Gemini through the litellm driver, against our own golden files."""

from __future__ import annotations

import importlib.util
import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import UpstreamError
from policies.vocabulary import FailureKind
from tests.gateway.golden_provider import GOLDEN, Golden, answer_of, golden_provider, matched, named, provider_of
from tests.gateway.litellm_calls import LITELLMS_WARNINGS, MODELS, drain, events_of, exchange, upstream

if TYPE_CHECKING:
    from adapters.base import Tally

# Looked for, not imported: only the driver may import it, after setting its switches.
if importlib.util.find_spec("litellm") is None:
    pytest.skip("the litellm extra is not installed", allow_module_level=True)

pytestmark = LITELLMS_WARNINGS

WHOLE = 1 << 20
STREAMS = named("stream")


def summary(tally: Tally) -> Golden:
    usage = tally.usage
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
    return {
        "usage": {name: getattr(usage, name) for name in names} if usage else None,
        "finish_reasons": tally.finish_reasons,
        "text": "".join(tally.text),
        "model": tally.model,
        "id": tally.id,
    }


async def call(name: str, response: bytes, asked: list[tuple[str, Any]] | None = None) -> tuple[bytes, Tally]:
    """What the caller gets, and its tally; what the provider was asked goes into `asked`."""
    golden = GOLDEN[name]
    asked = [] if asked is None else asked
    async with golden_provider(response, asked) as base_url, upstream(provider_of(name), base_url) as driver:
        answer = await driver.send(exchange(golden["request"], stream="stream" in golden))
        return await drain(answer), answer.tally


def test_every_provider_has_every_golden_file() -> None:
    kinds = ("error", "stream", "text", "tool_call")
    assert list(GOLDEN) == [f"{provider}_{kind}" for provider in sorted(MODELS) for kind in kinds]


@pytest.mark.parametrize("name", GOLDEN)
async def test_a_request_is_written_in_the_provider_s_format(name: str) -> None:
    asked: list[tuple[str, Any]] = []
    with pytest.raises(UpstreamError) if "failure" in GOLDEN[name] else nullcontext():
        await call(name, answer_of(name, WHOLE), asked)
    expected = GOLDEN[name]["upstream"]
    assert asked == [(expected["path"], expected["body"])]


@pytest.mark.parametrize("name", [*named("text"), *named("tool_call")])
async def test_an_answer_comes_in_openais_format(name: str) -> None:
    data, tally = await call(name, answer_of(name, WHOLE))
    reply, expected = json.loads(data), GOLDEN[name]
    assert matched(reply, expected["reply"]) == expected["reply"]
    assert matched(summary(tally), expected["tally"]) == expected["tally"]


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 64, 1000, WHOLE])
@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_comes_in_openais_format_however_it_is_cut(name: str, piece_bytes: int) -> None:
    data, tally = await call(name, answer_of(name, piece_bytes))
    events, expected = events_of(data), GOLDEN[name]
    assert matched(events, expected["reply"]) == expected["reply"]
    assert len({(event["id"], event["created"]) for event in events}) == 1
    assert matched(summary(tally), expected["tally"]) == expected["tally"]


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_cut_short_before_its_end_is_no_success(name: str) -> None:
    for count in range(len(GOLDEN[name]["stream"]) - 1):
        with pytest.raises(UpstreamError) as raised:
            await call(name, answer_of(name, WHOLE, only_events=count))
        assert raised.value.failure.kind in (FailureKind.RESET, FailureKind.TRUNCATED), count


@pytest.mark.parametrize("name", named("error"))
async def test_an_error_keeps_its_status_words_and_delay(name: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        await call(name, answer_of(name, 7))
    failure = raised.value.failure
    shown = {member: getattr(failure, member) for member in GOLDEN[name]["failure"]}
    assert shown | {"kind": failure.kind.value} == GOLDEN[name]["failure"]
    assert not failure.maybe_billed
