"""What is never kept: errors, refusals, what was cut short or filtered, calls of tools, and what nobody can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.cache_answers import Storability, storable
from policies.vocabulary import Endpoint


def chat(message: Any = None, reason: Any = "stop", **choice: Any) -> bytes:
    message = {"role": "assistant", "content": "Open Settings.", "refusal": None} | (message or {})
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": reason} | choice]}).encode()


def said(text: str, reason: str | None = "stop") -> bytes:
    return json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": reason}]}).encode()


def response(*content: Any, **members: Any) -> bytes:
    message = {"type": "message", "content": list(content) or [{"type": "output_text", "text": "Open Settings."}]}
    return json.dumps({"status": "completed", "error": None, "output": [message]} | members).encode()


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (chat(), "yes"),
        (chat(reason="eos"), "yes"),
        (chat({"content": [{"type": "text", "text": "hi"}]}), "yes"),
        (chat({"reasoning_content": "hm", "tool_calls": []}), "yes"),
        (chat(reason="length"), "truncated"),
        (chat(reason="content_filter"), "filtered"),
        (chat(reason="SAFETY"), "filtered"),
        (chat(reason="guardrail_intervened"), "filtered"),
        (chat(reason="tool_calls"), "tool_calls"),
        (chat(reason=None), "unfinished"),
        (chat(reason="who knows"), "unfinished"),
        (chat({"refusal": "No."}), "refusal"),
        (chat({"content": "I'm sorry, but I can't help with that."}), "refusal"),
        (chat({"tool_calls": [{"id": "c"}]}), "tool_calls"),
        (chat({"function_call": {"name": "f"}}), "tool_calls"),
        (chat({"audio": {"id": "a"}}), "media"),
        (chat({"images": [{"image_url": {}}]}), "media"),
        (chat({"content": ""}), "empty"),
        (chat({"content": " \n"}), "empty"),
        (chat({"content": None}), "empty"),
        (chat(content_filter_results={"hate": {"filtered": True}}), "filtered"),
        (chat(content_filter_results={"hate": {"filtered": False}}), "yes"),
        (chat({"moderation": {"flagged": True}}), "filtered"),
        (chat()[:-1] + b',"prompt_filter_results":[{"content_filter_results":{"x":{"filtered":true}}}]}', "filtered"),
        (chat()[:-3], "unreadable"),
        (b'{"choices":[{"message":"hi","finish_reason":"stop"}]}', "unreadable"),
        (b'{"choices":["hi"]}', "unreadable"),
        (b'{"choices":[]}', "empty"),
        (b"{}", "empty"),
        (b"[]", "unreadable"),
        (b"", "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (b'{"error":{"message":"no"}}', "error"),
    ],
)
def test_chat(body: bytes, verdict: str) -> None:
    assert storable(Endpoint.CHAT, body) is Storability(verdict)


def test_one_bad_choice_spoils_an_answer() -> None:
    good, bad = (json.loads(chat(reason=reason))["choices"][0] for reason in ("stop", "length"))

    assert storable(Endpoint.CHAT, json.dumps({"choices": [good, bad]}).encode()) is Storability.TRUNCATED


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (said("once upon"), "yes"),
        (said(""), "empty"),
        (said("once", "length"), "truncated"),
        (said("once", None), "unfinished"),
        (said("I cannot assist with that."), "refusal"),
    ],
)
def test_completions(body: bytes, verdict: str) -> None:
    assert storable(Endpoint.COMPLETIONS, body) is Storability(verdict)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (response(), "yes"),
        (response({"type": "refusal", "refusal": "No."}), "refusal"),
        (response({"type": "output_text", "text": "As an AI, I cannot."}), "refusal"),
        (response({"type": "output_audio"}), "media"),
        (response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "truncated"),
        (response(status="incomplete", incomplete_details={"reason": "content_filter"}), "filtered"),
        (response(content_filters=[{"blocked": True}]), "filtered"),
        (response(status="in_progress"), "unfinished"),
        (response(status="failed"), "error"),
        (response(error={"code": "x"}), "error"),
        (response(output=[{"type": "function_call"}]), "tool_calls"),
        (response(output=[{"type": "reasoning"}]), "empty"),
        (response(output=None), "unreadable"),
    ],
)
def test_responses(body: bytes, verdict: str) -> None:
    assert storable(Endpoint.RESPONSES, body) is Storability(verdict)


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        (b'{"type":"response.completed","response":%b}' % response(), "yes"),
        (b'{"type":"response.incomplete","response":%b}' % response(status="incomplete"), "unfinished"),
        (b'{"type":"response.failed","response":%b}' % response(status="failed"), "error"),
        (b'{"type":"error","message":"no"}', "unfinished"),
        (b'{"type":"response.output_text.done"}', "unfinished"),
        (b"{", "unreadable"),
    ],
)
def test_streams_of_responses(last: bytes, verdict: str) -> None:
    events = b'event: response.created\ndata: {"type":"response.created"}\n\n: hello\n\ndata: %b\n\n' % last

    assert storable(Endpoint.RESPONSES, events, is_events=True) is Storability(verdict)


@pytest.mark.parametrize(
    ("endpoint", "body", "verdict"),
    [
        (Endpoint.EMBEDDINGS, b'{"data":[{"embedding":[0.1]}]}', "yes"),
        (Endpoint.EMBEDDINGS, b'{"data":[{"embedding":"AAAA"}]}', "yes"),
        (Endpoint.EMBEDDINGS, b'{"data":[{"embedding":[]}]}', "empty"),
        (Endpoint.EMBEDDINGS, b'{"data":[]}', "empty"),
        (Endpoint.RERANK, b'{"results":[{"index":0}]}', "yes"),
        (Endpoint.RERANK, b'{"results":[]}', "empty"),
        (Endpoint.RERANK, b'{"message":"no"}', "empty"),
    ],
)
def test_vectors_and_rankings(endpoint: Endpoint, body: bytes, verdict: str) -> None:
    assert storable(endpoint, body) is Storability(verdict)
