"""What an upstream says may be shown, less what tells of its whereabouts or its credentials."""

from __future__ import annotations

import time

import pytest

from adapters.scrub import SHOWN_BYTES, scrub

HIDDEN = {
    "https://api.example-provider.com/v1/chat?key=1": "[url]",
    "see http://10.0.0.7:8000/v1.": "see [url]",
    "connect to 10.0.0.7:8000 failed": "connect to [host] failed",
    "host='10.0.0.7', port=8000": "host='[host]', port=8000",
    "host=vllm.internal.svc:8000": "host=[host]",
    "dial tcp [fe80::1:2:3]:443": "dial tcp [[host]]:443",
    "Cannot reach api.openai.com.": "Cannot reach [host].",
    "upstream vllm-eu:8000 is down": "upstream [host] is down",
    "localhost refused": "[host] refused",
    "Incorrect API key provided: sk-proj-abcdef***xyz.": "Incorrect API key provided: [secret].",
    "key gsk_abcdefghijklmnop": "key [secret]",
    "AKIAIOSFODNN7EXAMPLE": "[secret]",
    "Authorization: Bearer abcdefghijklmnop": "Authorization: [secret] [secret]",
    "bearer abcdefgh12345678 is wrong": "bearer [secret] is wrong",
    'api_key="hunter2hunter2"': 'api_key="[secret]"',
    "token: abc": "token: [secret]",
    "jwt eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl": "jwt [secret]",
    "a" * 48: "[secret]",
    "line\x1b[31mred\r\nnext": "line [31mred \nnext",
}


@pytest.mark.parametrize(("text", "shown"), HIDDEN.items())
def test_hosts_and_credentials_are_hidden(text: str, shown: str) -> None:
    assert scrub(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 128000 tokens.",
        "Invalid value for 'messages[0].content': expected a string, got null.",
        "Rate limit reached for gpt-4o-mini-2024-07-18 on tokens per min (TPM): Limit 30000, Used 29999.",
        "The model `meta-llama/Llama-3.1-8B-Instruct` does not exist.",
        "max_tokens: 5000 is too large, e.g. use 4096",
        "status: 500, error 1.2.3 at 10:32:01",
        "Grüße 🐈",
        "",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    "piece", ["a", "a.", "-", "a-", "sk-", "1.", ":", "bearer ", "token", "token=", "://", "é", "a:", "[", "\\"]
)
def test_long_texts_are_cut_in_linear_time(piece: str) -> None:
    began = time.perf_counter()
    shown = scrub(piece * 200_000)
    assert len(shown.encode()) <= SHOWN_BYTES
    assert time.perf_counter() - began < 0.2
