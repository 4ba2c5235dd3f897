"""The litellm driver against recorded provider replies and a scripted provider, both on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
import time
from array import array
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import StartError, UpstreamError
from gateway.litellm.driver import LitellmUpstream
from policies.usage import Usage
from policies.vocabulary import Deployment, FailureKind
from tests.gateway.litellm_calls import (
    KEY,
    LITELLMS_WARNINGS,
    MODELS,
    chat,
    drain,
    events_of,
    exchange,
    message_of,
    provider,
    stalled,
    upstream,
)
from tests.wire_recordings import (
    ANSWERS,
    EMBEDDINGS,
    ERRORS,
    OTHER_COUNTS,
    RECORDINGS,
    WIRE,
    cases,
    embedding_model,
    expected_finish,
    expected_usage,
    needs_recordings,
    read_as,
    recording,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Looked for, not imported: only the driver may import it, after setting its switches.
if importlib.util.find_spec("litellm") is None:
    pytest.skip("the litellm extra is not installed", allow_module_level=True)

pytestmark = LITELLMS_WARNINGS


@pytest.fixture(scope="module")
def replay() -> Iterator[str]:
    """The base address of the replay server, as a process of its own."""
    if not RECORDINGS:
        pytest.skip("shared recordings are not beside this checkout")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(WIRE / "replay.py"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.005)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fails whatever would leave this machine, and says so in the list."""
    strays: list[str] = []
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(host: object) -> None:
        if host not in ("127.0.0.1", "::1", "localhost", None) and not isinstance(host, bytes):
            strays.append(str(host))
            raise AssertionError(f"{host} is not loopback")

    def guarded_connect(self: socket.socket, address: tuple[Any, ...] | str) -> None:
        check(address[0] if isinstance(address, tuple) else None)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: tuple[Any, ...] | str) -> int:
        check(address[0] if isinstance(address, tuple) else None)
        return connect_ex(self, address)

    def guarded_lookup(host: str, *rest: object, **named: object) -> object:
        check(host)
        return lookup(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)
    return strays


@needs_recordings
@pytest.mark.parametrize("each", cases(ANSWERS))
async def test_a_recorded_reply_means_what_it_is_known_to_mean(
    replay: str, each: dict[str, Any], only_loopback: list[str]
) -> None:
    async with upstream(read_as(each), f"{replay}/fx/{each['id']}", each["model"]) as driver:
        answer = await driver.send(exchange(chat(), stream=each["streaming"]))
        data = await drain(answer)
    if each["streaming"]:
        events = events_of(data)
        message = message_of(events)
        finish = [choice["finish_reason"] for event in events for choice in event["choices"] if choice["finish_reason"]]
        assert answer.first_token_s is not None or not each["expect"]["text"]
    else:
        choice = json.loads(data)["choices"][0]
        message, finish = choice["message"], [choice["finish_reason"]]
    expect = each["expect"]
    assert (message["content"] or "").strip() == expect["text"].strip()
    assert finish == [expected_finish(each)] == answer.tally.finish_reasons
    if not any(feature.startswith("block:") for feature in each["features"]):
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        assert [(call["name"], json.loads(call["arguments"] or "{}")) for call in calls] == [
            (call["name"], call["arguments"]) for call in expect["tool_calls"]
        ]
    used = answer.tally.usage
    if not each["id"].startswith(OTHER_COUNTS):
        assert (used and (used.input_tokens, used.output_tokens)) == expected_usage(each)
        assert used is None or used.reasoning_tokens == (expect["usage"]["reasoning"] or 0)
    assert only_loopback == []


@needs_recordings
@pytest.mark.parametrize("each", cases(EMBEDDINGS))
async def test_embeddings_come_as_floats_or_as_base64(replay: str, each: dict[str, Any]) -> None:
    async with upstream(read_as(each), f"{replay}/fx/{each['id']}", embedding_model(each)) as driver:
        floats = json.loads(await drain(await driver.send(exchange({"input": ["a"]}))))
        packed = json.loads(await drain(await driver.send(exchange({"input": ["a"], "encoding_format": "base64"}))))
    vector, text = floats["data"][0]["embedding"], packed["data"][0]["embedding"]
    assert array("f", b64decode(text)).tolist() == pytest.approx(vector, abs=1e-6)
    assert floats["object"] == "list"
    assert floats["data"][0]["index"] == 0


@needs_recordings
@pytest.mark.parametrize("each", cases(ERRORS))
async def test_a_recorded_error_keeps_its_status_and_words(replay: str, each: dict[str, Any]) -> None:
    async with upstream(read_as(each), f"{replay}/fx/{each['id']}") as driver:
        for stream in (False, True):
            with pytest.raises(UpstreamError) as raised:
                await driver.send(exchange(chat(), stream=stream))
            failure = raised.value.failure
            assert (failure.kind, failure.status, failure.maybe_billed) == (FailureKind.STATUS, 404, False)
            assert failure.code in ("not_found_error", "NOT_FOUND")
            assert "model" in failure.message
            assert "127.0.0.1" not in failure.message


@needs_recordings
@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("429", FailureKind.STATUS, 429),
        ("429-date", FailureKind.STATUS, 429),
        ("500", FailureKind.STATUS, 500),
        ("502-html", FailureKind.STATUS, 502),
        ("529", FailureKind.STATUS, 529),
        ("reset", FailureKind.RESET, None),
        ("empty", FailureKind.BAD_RESPONSE, None),
        ("garbage", FailureKind.BAD_RESPONSE, None),
    ],
)
async def test_a_fault_is_told_by_what_caused_it(
    replay: str, provider: str, fault: str, kind: FailureKind, status: int
) -> None:
    async with upstream(provider, f"{replay}/fault/{fault}") as driver:
        for stream in (False, True):
            with pytest.raises(UpstreamError) as raised:
                await driver.send(exchange(chat(), stream=stream))
            failure = raised.value.failure
            cut_short = stream and kind is FailureKind.BAD_RESPONSE and failure.kind is FailureKind.TRUNCATED
            assert failure.kind is kind or cut_short, failure
            assert failure.status == status
            assert "127.0.0.1" not in failure.message
            assert "<html>" not in failure.message
            if fault.startswith("429"):
                assert failure.retry_after_s == pytest.approx(1.0, abs=1.1)


@needs_recordings
@pytest.mark.parametrize(
    ("provider", "name", "cut"),
    [
        ("anthropic", "anthropic--anthropic-json-tool-1--37", 5),
        ("bedrock", "bedrock--test-bedrock-native-output-stream", 4),
        ("cohere", "cohere--cohere-text", 5),
        ("gemini", "gemini--test-google-model-thinking-part-iter", 3),
    ],
)
async def test_a_dropped_connection_in_mid_stream_is_no_success(
    replay: str, provider: str, name: str, cut: int
) -> None:
    async with upstream(provider, f"{replay}/fx/{recording(name)['id']};cut={cut}") as driver:
        answer = await driver.send(exchange(chat(), stream=True))
        with pytest.raises(UpstreamError) as raised:
            await drain(answer)
    assert raised.value.failure.kind in (FailureKind.RESET, FailureKind.TRUNCATED)
    assert raised.value.failure.maybe_billed
    assert answer.tally.text


@needs_recordings
@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("anthropic", "anthropic--test-anthropic-model-thinking-part-stream"),
        ("bedrock", "bedrock--test-bedrock-native-output-stream"),
        ("cohere", "cohere--cohere-tool-call--55"),
        ("gemini", "gemini--test-google-model-iter-stream"),
    ],
)
async def test_a_stream_in_tiny_pieces_reads_the_same(replay: str, provider: str, name: str) -> None:
    each = recording(name)
    async with upstream(provider, f"{replay}/fx/{each['id']};split=7") as driver:
        events = events_of(await drain(await driver.send(exchange(chat(), stream=True))))
    assert message_of(events)["content"].strip() == each["expect"]["text"].strip()
    assert len(message_of(events)["tool_calls"]) == len(each["expect"]["tool_calls"])


@needs_recordings
async def test_the_usage_chunk_goes_only_to_who_asked(replay: str) -> None:
    base_url = f"{replay}/fx/{recording('anthropic--anthropic-json-tool-1--37')['id']}"
    async with upstream("anthropic", base_url) as driver:
        asked = events_of(await drain(await driver.send(exchange(chat(), stream=True))))
        answer = await driver.send(exchange(chat(), stream=True, usage=False))
        not_asked = events_of(await drain(answer))
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["total_tokens"] == 896
    assert not any("usage" in event for event in not_asked)
    assert len(asked) == len(not_asked) + 1
    assert answer.tally.usage == Usage(input_tokens=849, output_tokens=47)


@pytest.mark.parametrize("name", ["anthropic", "cohere", "gemini", "bedrock"])
async def test_cancelling_send_cancels_the_request_and_so_does_its_total_limit(name: str) -> None:
    stalling, gone = asyncio.Event(), asyncio.Event()
    script = stalled(b"", stalling, gone)
    async with provider(script) as base_url, upstream(name, base_url) as driver:
        for stream in (False, True):
            stalling.clear()
            gone.clear()
            sending = asyncio.create_task(driver.send(exchange(chat(), stream=stream)))
            await asyncio.wait_for(stalling.wait(), 5)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await asyncio.wait_for(gone.wait(), 1)
        gone.clear()
        with pytest.raises(UpstreamError) as raised:
            await driver.send(exchange(chat(), limits={"total_s": 0.1}))
        assert raised.value.failure.kind is FailureKind.TOTAL
        await asyncio.wait_for(gone.wait(), 1)


async def test_nobody_listening_is_a_failure_to_connect() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with upstream("anthropic", f"http://127.0.0.1:{port}") as driver:
            with pytest.raises(UpstreamError) as raised:
                await driver.send(exchange(chat()))
    assert raised.value.failure.kind is FailureKind.CONNECT
    assert str(port) not in raised.value.failure.message
    assert not raised.value.failure.maybe_billed


async def test_redirects_are_not_followed(only_loopback: list[str]) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
        )
        await writer.drain()

    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        with pytest.raises(UpstreamError):
            await driver.send(exchange(chat()))
    assert only_loopback == []


async def test_keys_and_addresses_in_an_error_do_not_come_back() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = f"the key {KEY} is not valid at https://internal.example:8443/v1 (10.1.2.3:99)"
        body = json.dumps({"error": {"message": said, "type": "authentication_error"}}).encode()
        head = f"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        with pytest.raises(UpstreamError) as raised:
            await driver.send(exchange(chat()))
    failure = raised.value.failure
    assert (failure.status, failure.code) == (401, "authentication_error")
    assert "is not valid" in failure.message
    assert not any(word in failure.message for word in (KEY, "internal.example", "10.1.2.3"))


async def test_an_endless_error_body_is_bounded() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")
        for _piece in range(1000):
            writer.write(b"{" * 65536)
            try:
                await writer.drain()
            except ConnectionError:
                return
        pytest.fail("all of it was read")

    async with provider(script) as base_url, upstream("anthropic", base_url) as driver:
        with pytest.raises(UpstreamError) as raised:
            await driver.send(exchange(chat()))
    assert raised.value.failure.kind in (FailureKind.BAD_RESPONSE, FailureKind.STATUS)


async def test_what_a_provider_cannot_do_is_refused_in_its_own_words() -> None:
    async with upstream("anthropic", "http://127.0.0.1:1") as driver:
        with pytest.raises(UpstreamError) as raised:
            await driver.send(exchange(chat(logit_bias={"1": 1})))
    failure = raised.value.failure
    assert (failure.status, failure.code) == (400, "unsupported_parameter")
    assert "logit_bias" in failure.message
    assert "litellm" not in failure.message


async def test_a_web_address_in_a_message_is_refused_before_anything_is_fetched(only_loopback: list[str]) -> None:
    part = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data"}}
    async with upstream("gemini", "http://127.0.0.1:1") as driver:
        with pytest.raises(UpstreamError) as raised:
            await driver.send(exchange(chat(messages=[{"role": "user", "content": [part]}])))
    assert (raised.value.failure.status, raised.value.failure.code) == (400, "invalid_image_url")
    assert only_loopback == []


async def test_a_provider_that_litellm_does_not_know_is_refused(only_loopback: list[str]) -> None:
    driver = LitellmUpstream(Deployment("d", "p", "litellm", "nonsense/model"), {}, KEY, None)
    await driver.start()
    with pytest.raises(UpstreamError) as raised:
        await driver.send(exchange(chat()))
    await driver.close()
    assert raised.value.failure.status == 400
    assert only_loopback == []


def test_settings_are_credentials_and_places_only() -> None:
    deployment = Deployment("d", "p", "litellm", "bedrock/m")
    with pytest.raises(ValueError, match="mock_response"):
        LitellmUpstream(deployment, {"mock_response": "hello"}, None, None)
    with pytest.raises(ValueError, match="provider/model"):
        LitellmUpstream(Deployment("d", "p", "litellm", "gpt-4o"), {}, None, None)


@pytest.mark.parametrize(
    ("name", "model", "setting"),
    [
        ("ANTHROPIC_API_BASE", "anthropic/m", "base_url"),
        ("ANTHROPIC_API_KEY", "anthropic/m", "api_key"),
        ("GOOGLE_API_KEY", "gemini/m", "api_key"),
        ("AWS_BEDROCK_RUNTIME_ENDPOINT", "bedrock/m", "base_url"),
    ],
)
async def test_the_environment_does_not_say_where_to_go_and_as_whom(
    monkeypatch: pytest.MonkeyPatch, name: str, model: str, setting: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    driver = LitellmUpstream(Deployment("d", "p", "litellm", model), {}, None, None)
    with pytest.raises(StartError, match=f"{setting}: .*{name}"):
        await driver.start()
    assert not driver.ready


async def test_a_driver_that_was_not_started_says_so() -> None:
    driver = LitellmUpstream(Deployment("d", "p", "litellm", "anthropic/m"), {}, KEY, None)
    with pytest.raises(UpstreamError) as raised:
        await driver.send(exchange(chat()))
    assert raised.value.failure.kind is FailureKind.CONNECT
    await driver.close()
