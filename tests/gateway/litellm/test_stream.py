"""Streams out of litellm against a scripted provider."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from gateway.errors import UpstreamError
from policies.usage import Usage
from policies.vocabulary import FailureKind
from tests.gateway.litellm_calls import (
    BEGINNING,
    ENDING,
    EVENTS_HEAD,
    HELLO,
    LITELLMS_WARNINGS,
    anthropic_events,
    chat,
    drain,
    exchange,
    provider,
    stalled,
    upstream,
)

if importlib.util.find_spec("litellm") is None:
    pytest.skip("the litellm extra is not installed", allow_module_level=True)

pytestmark = LITELLMS_WARNINGS


async def test_a_stream_that_closes_cleanly_without_a_finish_reason_is_cut_short() -> None:
    """litellm makes up `stop` for it; a caller must not be told so."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS_HEAD + BEGINNING + HELLO)
        await writer.drain()

    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        answer = await driver.send(exchange(chat(), stream=True))
        seen = await answer.read()
        assert b"Hello" in seen
        with pytest.raises(UpstreamError) as raised:
            await drain(answer)
        assert raised.value.failure.kind is FailureKind.TRUNCATED
        assert await answer.read() == b""


async def test_cached_and_written_tokens_are_inside_the_input() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS_HEAD + BEGINNING + HELLO + ENDING)
        await writer.drain()

    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        answer = await driver.send(exchange(chat(), stream=True))
        await drain(answer)
    assert answer.tally.usage == Usage(18, 7, cached_input_tokens=5, cache_write_tokens=3)
    assert "".join(answer.tally.text) == "Hello"


async def test_an_error_event_in_a_stream_is_in_band() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        writer.write(EVENTS_HEAD + BEGINNING + HELLO + anthropic_events(overloaded))
        await writer.drain()

    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        answer = await driver.send(exchange(chat(), stream=True))
        with pytest.raises(UpstreamError) as raised:
            await drain(answer)
    assert raised.value.failure.kind is FailureKind.IN_BAND
    assert "verloaded" in raised.value.failure.message


@pytest.mark.parametrize(
    ("sent", "limits", "kind"),
    [
        (EVENTS_HEAD + BEGINNING, {"first_token_s": 0.1}, FailureKind.FIRST_TOKEN),
        (b"", {"first_token_s": 0.1}, FailureKind.FIRST_TOKEN),
        (EVENTS_HEAD + BEGINNING, {"total_s": 0.1}, FailureKind.TOTAL),
        (EVENTS_HEAD + BEGINNING + HELLO, {"idle_s": 0.1}, FailureKind.IDLE),
        (EVENTS_HEAD + BEGINNING + HELLO, {"total_s": 0.2}, FailureKind.TOTAL),
    ],
)
async def test_a_stalled_stream_runs_into_its_limit_and_is_dropped(
    sent: bytes, limits: dict[str, float], kind: FailureKind
) -> None:
    gone = asyncio.Event()
    script = stalled(sent, asyncio.Event(), gone)
    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        with pytest.raises(UpstreamError) as raised:
            await drain(await driver.send(exchange(chat(), stream=True, limits=limits)))
        assert raised.value.failure.kind is kind
        assert raised.value.failure.maybe_billed
        await asyncio.wait_for(gone.wait(), 1)


async def test_closing_a_stream_drops_the_connection_without_waiting() -> None:
    gone = asyncio.Event()
    script = stalled(EVENTS_HEAD + BEGINNING + HELLO, asyncio.Event(), gone)
    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        answer = await driver.send(exchange(chat(), stream=True))
        answer.close()
        answer.close()
        await asyncio.wait_for(gone.wait(), 1)
        assert await answer.read() == b""
        assert answer.tally.text == ["Hello"]
