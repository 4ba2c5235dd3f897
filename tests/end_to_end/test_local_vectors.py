"""Embeddings and rankings from models on this machine, through the whole gateway, as the usual clients ask for them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from anyio.from_thread import start_blocking_portal
from openai import OpenAI

from gateway.config.model_file import model_file
from tests.gateway_process import KEY, gateway_process
from tests.tiny_gguf import tiny_rerank_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

MINILM = "package:all_minilm_l6_v2"
SMALL_KEY = "sk-has-a-small-limit-0123456789"
TEXTS = ["A man is eating food.", "Somebody eats a meal.", "Interest rates rose again in March."]
DOCUMENTS: list[Any] = ["the cat and the dog", {"text": "the moon", "title": "x"}, "a river in the city"]
RANKING: Any = {"model": "rank", "query": "the cat", "documents": DOCUMENTS}


class Vectors:
    """The gateway, and what its operators see."""

    def __init__(self, gateway: GatewayProcess, admin: Callable[[str], tuple[int, str]]) -> None:
        self.gateway = gateway
        self.base_url = gateway.base_url
        self._admin = admin

    def live(self, name: str) -> dict[str, Any]:
        status, body = self._admin("/deployments")
        assert status == 200
        (found,) = [one for one in json.loads(body)["deployments"] if one["name"] == name]
        return dict(found["live"])

    def row(self, request_id: str) -> dict[str, Any]:
        until_s = time.monotonic() + 5
        while not (rows := [row for row in self.gateway.ledger() if row["request_id"] == request_id]):
            assert time.monotonic() < until_s, "no row"
            time.sleep(0.02)
        (row,) = rows
        return row


def policy(rerank: Path) -> dict[str, Any]:
    price = {"input": 1.0, "output": 50.0}
    return {
        "providers": {
            "embedder": {"kind": "llama_cpp", "model_path": MINILM, "threads": 1},
            "ranker": {"kind": "llama_cpp", "model_path": str(rerank), "threads": 1},
        },
        "deployments": {
            "minilm": {"provider": "embedder", "model": "all-minilm-l6-v2", "price": price},
            "tiny-ranker": {"provider": "ranker", "price": {"input": 1.0}},
        },
        "routes": [{"model": "embed", "targets": ["minilm"]}, {"model": "rank", "targets": ["tiny-ranker"]}],
        "keys": [
            {"name": "tests", "secret": KEY},
            {"name": "small", "secret": SMALL_KEY, "limits": [{"tokens": "600/min"}]},
        ],
    }


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vectors]:
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python is not installed")
    try:
        model_file(MINILM)
    except FileNotFoundError as error:
        pytest.skip(f"no embedding model: {error}")
    folder = tmp_path_factory.mktemp("vectors")
    with start_blocking_portal() as portal:
        process = gateway_process(policy(tiny_rerank_model(folder)), folder)
        with portal.wrap_async_context_manager(process) as gateway:
            yield Vectors(gateway, lambda path: portal.call(gateway.admin, path))


@pytest.fixture
def client(vectors: Vectors) -> Iterator[OpenAI]:
    with OpenAI(base_url=vectors.base_url, api_key=KEY, max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def plain(vectors: Vectors) -> Iterator[httpx.Client]:
    root = vectors.base_url.removesuffix("/v1")
    with httpx.Client(base_url=root, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as made:
        yield made


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


# embeddings


def test_the_official_client_gets_the_same_vectors_packed_and_as_numbers(client: OpenAI) -> None:
    packed = client.embeddings.create(model="embed", input=TEXTS)  # base64, which the client asks for by itself
    floats = client.embeddings.create(model="embed", input=TEXTS, encoding_format="float")
    for one, other in zip(packed.data, floats.data, strict=True):
        assert one.index == other.index
        assert one.embedding == pytest.approx(other.embedding, abs=1e-3)
        assert dot(one.embedding, one.embedding) == pytest.approx(1.0, abs=1e-5)
    first, second, third = (one.embedding for one in packed.data)
    assert len(first) == 384
    assert dot(first, second) > 0.7
    assert dot(first, third) < 0.2
    assert packed.model == "all-minilm-l6-v2"


def test_tokens_are_told_and_only_they_are_paid_for(vectors: Vectors, client: OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="embed", input="A man is eating food.")
    usage = raw.parse().usage
    assert (usage.prompt_tokens, usage.total_tokens) == (8, 8)
    row = vectors.row(raw.headers["x-request-id"])
    assert (row["endpoint"], row["input_tokens"], row["output_tokens"], row["estimated"]) == ("embeddings", 8, 0, 0)
    assert (row["cost_nanousd"], row["outcome"]) == (8 * 1000, "ok")


def test_ids_of_tokens_are_as_good_as_the_text(client: OpenAI) -> None:
    ids = [101, 1037, 2158, 2003, 5983, 2833, 1012, 102]
    text, given = (client.embeddings.create(model="embed", input=one).data[0].embedding for one in (TEXTS[0], [ids]))
    assert text == pytest.approx(given, abs=1e-6)


def test_fewer_dimensions_are_cut_and_of_length_one(client: OpenAI) -> None:
    whole = client.embeddings.create(model="embed", input="x").data[0].embedding
    short = client.embeddings.create(model="embed", input="x", dimensions=64).data[0].embedding
    length = dot(whole[:64], whole[:64]) ** 0.5
    assert short == pytest.approx([number / length for number in whole[:64]], abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "param", "words"),
    [
        ({"dimensions": 385}, "dimensions", "384 dimensions"),
        ({"input": ["fine", "word " * 600]}, "input", "maximum context length is 512 tokens. Input 1 has 602"),
        ({"input": [[1, 40_000]]}, "input", "not below 30522"),
        ({"input": ["x"] * 2049}, "input", "at most 2048"),
        ({"input": ["x", ""]}, "input", "empty"),
    ],
)
def test_what_cannot_be_is_refused_with_the_numbers(
    client: OpenAI, wrong: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as raised:
        client.embeddings.create(**{"model": "embed", "input": "x"} | wrong)
    assert raised.value.param == param


def test_a_model_for_vectors_does_not_chat(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="embed", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.code == "unsupported_endpoint"


def test_a_crowd_shares_the_engine_and_each_gets_its_own(client: OpenAI) -> None:
    texts = [f"{text} {number}" for number in range(8) for text in TEXTS]
    alone = [client.embeddings.create(model="embed", input=text).data[0].embedding for text in texts]
    with ThreadPoolExecutor(12) as crowd:
        together = list(crowd.map(lambda text: client.embeddings.create(model="embed", input=text), texts))
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other.data[0].embedding, abs=1e-3)


# rankings


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_documents_come_best_first(plain: httpx.Client, path: str) -> None:
    answer = plain.post(path, json=RANKING)
    assert answer.status_code == 200
    body = answer.json()
    scores = [one["relevance_score"] for one in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(one["index"] for one in body["results"]) == [0, 1, 2]
    assert "document" not in body["results"][0]
    assert body["usage"]["total_tokens"] > 20


def test_each_document_is_scored_by_itself(plain: httpx.Client) -> None:
    def scores(*documents: Any) -> list[float]:
        results = plain.post("/v1/rerank", json=RANKING | {"documents": documents}).json()["results"]
        return [one["relevance_score"] for one in sorted(results, key=lambda one: one["index"])]

    assert scores(*DOCUMENTS) == pytest.approx([scores(one)[0] for one in DOCUMENTS], abs=1e-3)


def test_as_many_as_asked_for_with_their_documents(vectors: Vectors, plain: httpx.Client) -> None:
    answer = plain.post("/v1/rerank", json=RANKING | {"top_n": 1, "return_documents": True, "max_tokens_per_doc": 9})
    (best,) = answer.json()["results"]
    given = DOCUMENTS[best["index"]]
    assert best["document"] == {"text": given if isinstance(given, str) else given["text"]}
    assert answer.headers["x-pointsman-ignored"] == "max_tokens_per_doc"
    row = vectors.row(answer.headers["x-request-id"])
    assert (row["endpoint"], row["input_tokens"]) == ("rerank", answer.json()["usage"]["total_tokens"])
    assert (row["output_tokens"], row["cost_nanousd"]) == (0, row["input_tokens"] * 1000)


def test_a_document_that_does_not_fit_is_refused_by_number(plain: httpx.Client) -> None:
    answer = plain.post("/v1/rerank", json=RANKING | {"documents": ["the cat", "the " * 300]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "documents")
    assert "document 1 has 30" in error["message"]


def test_a_query_counts_with_each_document_against_a_limit(plain: httpx.Client) -> None:
    def ask(documents: int) -> httpx.Response:
        asked = RANKING | {"query": "the cat " * 20, "documents": ["dog"] * documents}
        return plain.post("/v1/rerank", json=asked, headers={"authorization": f"Bearer {SMALL_KEY}"})

    assert ask(1).status_code == 200
    refused = ask(40)
    assert refused.status_code == 400
    assert "can never take this request" in refused.json()["error"]["message"]


# faults


def test_a_worker_that_dies_comes_back(vectors: Vectors, client: OpenAI) -> None:
    before = vectors.live("minilm")
    os.kill(before["pid"], signal.SIGKILL)
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        try:
            assert len(client.embeddings.create(model="embed", input="x").data[0].embedding) == 384
            break
        except openai.APIStatusError as error:
            assert error.status_code in (502, 503)  # noqa: PT017 - what may be said until it is back
            time.sleep(0.05)
    assert vectors.live("minilm")["pid"] != before["pid"]
