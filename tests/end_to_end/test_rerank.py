"""Rankings through the gateway from a provider that makes them: what is asked arrives, and what is read is paid for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.gateway_process import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Service

ASKED: Any = {"model": "gpt-5-mini", "query": "a city", "documents": ["Rome", {"text": "sea"}, "Bonn"], "top_n": 2}


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    root = service.base_url.removesuffix("/v1")
    with httpx.Client(base_url=root, headers={"authorization": f"Bearer {KEY}"}, timeout=20) as made:
        yield made


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_a_ranking_passes_as_it_is(service: Service, client: httpx.Client, path: str) -> None:
    answer = client.post(path, json=ASKED | {"rank_fields": ["text"]})
    assert answer.status_code == 200
    assert answer.json()["results"] == [{"index": 2, "relevance_score": 0.25}, {"index": 1, "relevance_score": 0.125}]
    assert service.last.path == "/v1/rerank"
    assert json.loads(service.last.body) == ASKED | {"rank_fields": ["text"]}


def test_only_what_is_read_is_paid_for(service: Service, client: httpx.Client) -> None:
    answer = client.post("/v1/rerank", json=ASKED)
    (row,) = service.ledger_rows(answer.headers["x-request-id"])
    assert (row["endpoint"], row["input_tokens"], row["output_tokens"], row["estimated"]) == ("rerank", 24, 0, 0)
    assert row["cost_nanousd"] == 24 * 250
    assert row["outcome"] == "ok"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [({"query": ""}, "query"), ({"documents": []}, "documents"), ({"top_n": 0}, "top_n"), ({"stream": True}, "stream")],
)
def test_a_request_that_is_none_is_refused_here(
    service: Service, client: httpx.Client, wrong: dict[str, Any], param: str
) -> None:
    before = len(service.upstream.requests)
    answer = client.post("/v1/rerank", json=ASKED | wrong)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert len(service.upstream.requests) == before


def test_a_providers_refusal_is_a_callers_error(client: httpx.Client) -> None:
    answer = client.post("/v1/rerank", json=ASKED | {"model": "status-422"})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "No: 422."
