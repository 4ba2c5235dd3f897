from __future__ import annotations

import os
import shutil
import socket
import time
from typing import TYPE_CHECKING, NoReturn

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.schema import InferenceRequest
from gateway.data_files import data_dir
from gateway.prompts import tokens
from gateway.prompts.tokens import EXACT_BYTES, RANK_FILES, TokenCounter, encoding_of
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROSE = (
    " The pointsman sets the switches so that each train takes the right track, and he writes down what passed. "
    "Whatever ends a request, each attempt has exactly one row in the ledger; a truncated answer is never a success."
)


@pytest.fixture(scope="module")
def counter() -> Iterator[TokenCounter]:
    made = TokenCounter()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("counting tokens went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-1106", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("ft:gpt-4:acme::id", "cl100k_base"),
        ("ft:gpt-4o:acme::id", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("GPT-5", "o200k_base"),
        ("o3", "o200k_base"),
        ("anthropic/claude-sonnet-4-5", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_the_encoding_goes_by_the_name(model: str, encoding: str) -> None:
    assert encoding_of(model) == encoding


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
async def test_known_counts(counter: TokenCounter, model: str) -> None:
    assert await counter.count(["hello", " world"], model) == 2
    assert await counter.count([], model) == 0
    assert await counter.count([""], model) == 0
    assert await counter.count(["tiktoken is great!"], model) == 6


async def test_the_names_of_special_tokens_are_text(counter: TokenCounter) -> None:
    assert await counter.count(["<|endoftext|>"], "gpt-4o") > 1


async def test_pieces_of_a_long_text_add_up(counter: TokenCounter) -> None:
    one = await counter.count([PROSE], "gpt-4o")
    hundred = await counter.count([PROSE] * 100, "gpt-4o")
    assert hundred == pytest.approx(100 * one, rel=0.01)


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
@pytest.mark.parametrize("text", ["a", " ", "^", "\n", "中", "😀", "\ud800", "́", "1"])
async def test_a_million_of_one_character_takes_no_time(counter: TokenCounter, text: str, model: str) -> None:
    await counter.count(["loaded"], model)
    started_s = time.perf_counter()
    tokens = await counter.count([text * 1_000_000], model)
    assert time.perf_counter() - started_s < 0.2
    assert 0 < tokens <= 4_000_000


@pytest.mark.parametrize("text", ["a", " ", "^", "\t\n", "́a"])
async def test_the_longest_text_that_is_counted_whole_takes_no_time(counter: TokenCounter, text: str) -> None:
    await counter.count(["loaded"], "gpt-4o")
    started_s = time.perf_counter()
    await counter.count([text * (EXACT_BYTES // len(text.encode()))], "gpt-4o")
    assert time.perf_counter() - started_s < 0.2


async def test_a_long_text_is_estimated_closely(counter: TokenCounter) -> None:
    one = await counter.count([PROSE], "gpt-4o")
    times = 2 * EXACT_BYTES // len(PROSE)
    assert await counter.count([PROSE * times], "gpt-4o") == pytest.approx(one * times, rel=0.05)


async def test_a_long_text_of_two_kinds_is_sampled_throughout(counter: TokenCounter) -> None:
    prose, dense = PROSE * 2000, "中文字符" * 50_000
    apart = await counter.count([prose], "gpt-4o") + await counter.count([dense], "gpt-4o")
    assert await counter.count([prose + dense], "gpt-4o") == pytest.approx(apart, rel=0.1)


async def test_loading_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "/the/operators/own")
    fresh = TokenCounter()
    assert await fresh.count(["hello world"], "gpt-4o") == 2
    fresh.close()
    assert os.environ["TIKTOKEN_CACHE_DIR"] == "/the/operators/own"


def test_a_missing_rank_file_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cl100k_base"):
        TokenCounter(tmp_path)


async def test_a_damaged_rank_file_means_an_estimate_and_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for rank_file in RANK_FILES.values():
        shutil.copy(data_dir() / "tiktoken" / rank_file.file_name, tmp_path)
    damaged = tmp_path / RANK_FILES["o200k_base"].file_name
    damaged.write_bytes(b"damaged")
    made = TokenCounter(tmp_path)
    assert await made.count(["x" * 30], "gpt-4o") == 10
    assert await made.count(["x" * 30], "gpt-4o") == 10
    made.close()
    assert damaged.read_bytes() == b"damaged"
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_a_request_counts_its_texts_and_its_framing(counter: TokenCounter) -> None:
    messages = [
        {"role": "system", "content": "hello world"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    ]
    raw = {"messages": msgspec.Raw(msgspec.json.encode(messages))}
    request = InferenceRequest(Endpoint.CHAT, "gpt-4o", False, False, raw, 100)
    framing, roles = 2 * 3 + 3, 2
    assert await counter.count_request(request) == 2 + 1 + framing + roles
    assert await counter.count_request(request, "gpt-4") == 2 + 1 + framing + roles


LONG = st.text(st.sampled_from("ab ,.\n/'s{}\"\u00e9\u4e2d\u3002\u0301Z1 -"), min_size=1, max_size=400)


@given(LONG, st.sampled_from(("cl100k_base", "o200k_base")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_cutting_where_a_tokenizer_cuts_changes_no_count(counter: TokenCounter, text: str, name: str) -> None:
    encoding = counter._encoding(name)
    assert encoding is not None
    whole = len(encoding.encode_ordinary(text))
    for cut in tokens._SAFE_CUT.finditer(text):
        parts = (text[: cut.end()], text[cut.end() :])
        assert sum(len(encoding.encode_ordinary(part)) for part in parts) == whole


@given(
    st.text(st.sampled_from("abcdefghinrstABC\u00e4\u4e2d\u6587\u3042"), min_size=60, max_size=300), st.integers(1, 9)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_word_that_must_be_cut_is_never_counted_short(counter: TokenCounter, text: str, times: int) -> None:
    word = text * (times * 20)
    for name in ("cl100k_base", "o200k_base"):
        encoding = counter._encoding(name)
        assert encoding is not None
        whole = len(encoding.encode_ordinary(word))
        assert whole <= counter.bound_of([word], name) <= whole + (tokens.CUT_TOKENS + 2) * (len(word) // 1792 + 1)


async def test_a_bound_of_long_prose_is_its_count(counter: TokenCounter) -> None:
    await counter.load("o200k_base")
    encoding = counter._encoding("o200k_base")
    assert encoding is not None
    assert counter.bound_of([PROSE * 200], "o200k_base") == len(encoding.encode_ordinary(PROSE * 200))
