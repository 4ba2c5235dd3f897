"""The wall breaks as it says, so that a scenario which passes proves something."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.failure_wall import FailureWall
from tests.wall_faults import FAST, FAULTS, FULL, TEXT, TOKENS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUICK = replace(FAST, first_token_s=0.1, stall_s=0.1, silence_s=0.2, outage_s=0.15, between_tokens_s=0.0)


@pytest_asyncio.fixture
async def wall() -> AsyncIterator[FailureWall]:
    async with FailureWall(QUICK) as wall:
        yield wall


async def ask(wall: FailureWall, model: str, **more: Any) -> bytes:
    """The raw answer to one request, until the wall ends it or another would be due."""
    body = {"model": model, "messages": [{"role": "user", "content": "Well?"}], "stream": True} | more
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", wall.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    writer.write_eof()
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def pieces(answer: bytes) -> list[Any]:
    found = []
    for line in answer.split(b"\n"):
        if line.startswith(b"data: {"):
            try:
                found.append(json.loads(line[6:]))
            except ValueError:
                found.append("broken")
    return found


def text(answer: bytes) -> str:
    choices = [choice for piece in pieces(answer) if piece != "broken" for choice in piece["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


async def test_the_text_has_sixty_words_and_comes_whole(wall: FailureWall) -> None:
    assert len(TOKENS) == 60
    answer = await ask(wall, "ok", stream_options={"include_usage": True})
    assert text(answer) == TEXT
    assert pieces(answer)[-1]["usage"]["completion_tokens"] == 60
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert b"usage" not in await ask(wall, "ok")
    whole = json.loads((await ask(wall, "ok", stream=False)).partition(b"\r\n\r\n")[2])
    assert whole["choices"][0]["message"]["content"] == TEXT


async def test_a_prefix_is_continued_and_anything_else_begun_anew(wall: FailureWall) -> None:
    def prefilled(content: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": content}]

    assert TEXT[:30] + text(await ask(wall, "ok", messages=prefilled(TEXT[:30]))) == TEXT
    assert text(await ask(wall, "ok", messages=prefilled("Something else"))) == TEXT
    assert b"400 Status" in await ask(wall, "ok-without-prefill", messages=prefilled(TEXT[:30]))
    assert text(await ask(wall, "ok-without-prefill")) == TEXT
    assert [attempt.did for attempt in wall.attempts_at("ok")] == ["continued after 7 words", "answered"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("limited", 429, "rate_limit_exceeded"),
        ("overloaded", 503, "overloaded"),
        ("too-long", 400, "context_length_exceeded"),
        ("filtered", 400, "content_policy_violation"),
        ("nobody", 404, "model_not_found"),
    ],
)
async def test_what_is_refused_is_refused_always(wall: FailureWall, model: str, status: int, code: str) -> None:
    for _ in range(2):
        head, _, body = (await ask(wall, model)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"retry-after" not in head
        assert json.loads(body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("model", "first"),
    [("limited-once", b"HTTP/1.1 429 "), ("error-once", b"HTTP/1.1 500 "), ("flapping", b"HTTP/1.1 503 ")],
)
async def test_what_passes_passes(wall: FailureWall, model: str, first: bytes) -> None:
    answer = await ask(wall, f"{model}.mine")
    assert answer.startswith(first)
    assert (b"retry-after: 2" in answer) is (model == "limited-once")
    await asyncio.sleep(QUICK.outage_s)
    assert text(await ask(wall, f"{model}.mine")) == TEXT
    assert (await ask(wall, f"{model}.yours")).startswith(first)


async def test_a_reset_is_one(wall: FailureWall) -> None:
    with pytest.raises(ConnectionResetError):
        await ask(wall, "reset-once")
    assert text(await ask(wall, "reset-once")) == TEXT


@pytest.mark.parametrize(("model", "words"), [("cut", 40), ("stalled", 20)])
async def test_what_breaks_off_has_no_end(wall: FailureWall, model: str, words: int) -> None:
    answer = await ask(wall, model)
    assert text(answer) == "".join(TOKENS[:words])
    assert b"[DONE]" not in answer
    assert not answer.endswith(b"0\r\n\r\n")
    head, _, body = (await ask(wall, model, stream=False)).partition(b"\r\n\r\n")
    assert len(body) < int(head.rpartition(b"content-length: ")[2])


async def test_a_broken_event_is_one_more_and_nothing_is_missing(wall: FailureWall) -> None:
    answer = await ask(wall, "garbled")
    assert pieces(answer)[10] == "broken"
    assert text(answer) == TEXT
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_an_end_without_its_mark_is_framed_well(wall: FailureWall) -> None:
    answer = await ask(wall, "unmarked")
    assert text(answer) == TEXT
    assert b"[DONE]" not in answer
    assert answer.endswith(b"0\r\n\r\n")


async def test_each_attempt_is_in_the_log(wall: FailureWall) -> None:
    for model in FAULTS:
        if model not in ("silent", "slow", "stalled", "reset-once"):
            await ask(wall, model)
    assert [attempt.number for attempt in wall.attempts] == [1] * (len(FAULTS) - 4)
    assert all(attempt.did and attempt.is_stream for attempt in wall.attempts)


async def test_who_waits_at_the_silent_one_gets_nothing(wall: FailureWall) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wall.port)
    data = b'{"model": "silent"}'
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    assert await reader.read() == b""
    writer.close()
    assert wall.attempts[0].left_s is None


def test_the_full_profile_is_the_catalogues() -> None:
    assert (FULL.first_token_s, FULL.stall_s, FULL.silence_s, FULL.outage_s) == (20, 30, 120, 60)
    assert (FULL.between_tokens_s, FULL.retry_after_s) == (0.015, 2)
