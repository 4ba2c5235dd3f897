from __future__ import annotations

import json

import pytest

from adapters.base import NAME_CHARS_KEPT, FailedStream
from adapters.openai_answer import read_answer
from policies.usage import Usage, UsageDetails
from policies.vocabulary import Endpoint, FailureKind

GOOD: dict[Endpoint, dict[str, object]] = {
    Endpoint.CHAT: {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]},
    Endpoint.COMPLETIONS: {"choices": [{"index": 0, "text": "Hi"}]},
    Endpoint.EMBEDDINGS: {"data": [{"embedding": [0.1]}]},
    Endpoint.RESPONSES: {"output": [], "status": "completed"},
    Endpoint.RERANK: {"results": [{"index": 0, "relevance_score": 0.5}]},
}
BAD = [
    *(b"", b" ", b"<html>", b"hello", b"[]", b"null", b'"x"', b"{}", b'{"choices":[{"mess', b"data: {}\n\n"),
    b"[" * 100_000,
    b'{"choices":[],"data":[]}',
    b'{"choices":"x","data":"x","output":"x"}',
    b'{"choices":null,"output":null}',
    b'{"choices":[1],"data":7,"output":{}}',
    b'{"detail":"x"}',
]


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:24]))
def test_what_is_not_an_answer_is_refused(endpoint: Endpoint, body: bytes) -> None:
    with pytest.raises(FailedStream) as failed:
        read_answer(endpoint, body)
    assert failed.value.failure.kind is FailureKind.BAD_RESPONSE


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize(
    "error", [{"error": {"message": "busy"}}, {"error": "busy"}, {"object": "error", "message": "busy"}]
)
def test_an_error_under_status_200_is_an_error(endpoint: Endpoint, error: dict[str, object]) -> None:
    with pytest.raises(FailedStream, match="busy") as failed:
        read_answer(endpoint, json.dumps(error).encode())
    assert failed.value.failure.kind is FailureKind.IN_BAND


def test_a_failed_response_is_an_error() -> None:
    body = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "boom"}}
    with pytest.raises(FailedStream, match="boom") as failed:
        read_answer(Endpoint.RESPONSES, json.dumps(body).encode())
    assert failed.value.failure.code == "server_error"


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("usage", [None, "x", [], {}, {"prompt_tokens": -1}, {"prompt_tokens": "9"}])
def test_an_answer_without_credible_usage_is_still_an_answer(endpoint: Endpoint, usage: object) -> None:
    assert read_answer(endpoint, json.dumps(GOOD[endpoint] | {"usage": usage, "id": 7}).encode()).usage is None


@pytest.mark.parametrize("endpoint", Endpoint)
def test_what_is_kept_of_names_has_an_end(endpoint: Endpoint) -> None:
    tally = read_answer(endpoint, json.dumps(GOOD[endpoint] | {"id": "i" * 100_000, "model": "m" * 100_000}).encode())
    assert [len(name or "") for name in (tally.id, tally.model)] == [NAME_CHARS_KEPT] * 2


@pytest.mark.parametrize("endpoint", Endpoint)
def test_usage_and_names_are_noted(endpoint: Endpoint) -> None:
    fields = {"usage": {"prompt_tokens": 9, "completion_tokens": 3}, "id": "a-1", "model": "gpt"}
    tally = read_answer(endpoint, json.dumps(GOOD[endpoint] | fields).encode())
    assert (tally.usage, tally.id, tally.model) == (Usage(9, 3), "a-1", "gpt")


def test_what_a_response_generated_is_kept_for_counting() -> None:
    output = [
        {"type": "reasoning", "summary": [{"text": "hm"}], "content": [{"text": "so"}]},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "message", "content": [{"text": "Hi"}, {"refusal": "no"}, 7, {"text": None}]},
        {"type": "image_generation_call", "result": "AAAA"},
        "nonsense",
        {"type": "x", "content": "nonsense"},
    ]
    tally = read_answer(Endpoint.RESPONSES, json.dumps({"output": output, "status": "completed"}).encode())
    assert "".join(tally.text) == "hmsof{}Hino"
    assert tally.finish_reasons == ["completed"]


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, 9),
        ({"usage": {"total_tokens": 9}}, 9),
        ({"meta": {"tokens": {"input_tokens": 9, "output_tokens": 0}, "billed_units": {"search_units": 1}}}, 9),
        ({"meta": {"billed_units": {"input_tokens": 9.0}}}, 9),
        ({"meta": {"billed_units": {"search_units": 1}}}, None),
        ({"meta": [], "usage": {"total_tokens": -1}}, None),
    ],
    ids=str,
)
def test_rankings_tell_their_usage_in_several_ways(more: dict[str, object], tokens: int | None) -> None:
    tally = read_answer(Endpoint.RERANK, json.dumps(GOOD[Endpoint.RERANK] | more).encode())
    assert tally.usage == (None if tokens is None else Usage(tokens))


def test_a_ranking_may_call_its_results_data() -> None:
    body = {"object": "list", "data": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 4}}
    assert read_answer(Endpoint.RERANK, json.dumps(body).encode()).usage == Usage(4)


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS, Endpoint.RESPONSES])
@pytest.mark.parametrize(("told", "service"), [("priority", "priority"), ("default", ""), (None, ""), ([1], "")])
def test_the_tier_of_service_that_was_billed_stands_beside_the_usage(
    endpoint: Endpoint, told: object, service: str
) -> None:
    body = GOOD[endpoint] | {"usage": {"prompt_tokens": 9, "completion_tokens": 3}, "service_tier": told}
    details = UsageDetails(service=service) if service else None
    assert read_answer(endpoint, json.dumps(body).encode()).usage == Usage(9, 3, details=details)
