from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from adapters.llama_cpp_job import EmbedJob, Place, RerankJob, Scores, Vectors
from adapters.llama_cpp_vectors import INPUTS_KEPT, Wish, answer_pieces, ignored_members, vector_job_of
from adapters.openai_answer import read_answer
from adapters.openai_request import parse
from adapters.schema import InferenceRequest, InvalidRequest
from policies.usage import Usage
from policies.vocabulary import Endpoint

HERE = Place("team", scope="org")
EMBED = Wish(Endpoint.EMBEDDINGS, "mini")
RANK = Wish(Endpoint.RERANK, "mini")


def asked(endpoint: Endpoint, **members: Any) -> InferenceRequest:
    return parse(endpoint, json.dumps({"model": "mini", **members}).encode())


def answered(wish: Wish, outcome: Vectors | Scores) -> dict[str, Any]:
    body = b"".join(answer_pieces(wish, outcome, "vec-1"))
    assert read_answer(wish.endpoint, body).usage == Usage(outcome.prompt_tokens)
    value: dict[str, Any] = json.loads(body)
    return value


def packed(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_inputs_come_in_four_forms(given: object, inputs: tuple[object, ...]) -> None:
    job, wish = vector_job_of(asked(Endpoint.EMBEDDINGS, input=given), 7, HERE)
    assert job == EmbedJob(7, inputs, HERE)  # type: ignore[arg-type]
    assert wish == EMBED


def test_what_openais_clients_send_beside_the_input_is_heeded() -> None:
    request = asked(Endpoint.EMBEDDINGS, input="a", encoding_format="base64", dimensions=2, user="u")
    job, wish = vector_job_of(request, 7, HERE)
    assert job == EmbedJob(7, ("a",), HERE, 2)
    assert wish.as_base64
    assert ignored_members(request) == []


@pytest.mark.parametrize("given", [["a"] * (INPUTS_KEPT + 1), ["a", ""]])
def test_what_openai_refuses_is_refused(given: list[str]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        vector_job_of(asked(Endpoint.EMBEDDINGS, input=given), 7, HERE)
    assert raised.value.param == "input"


def test_documents_are_texts_or_objects_with_one() -> None:
    request = asked(Endpoint.RERANK, query="q", documents=["a", {"text": "b", "title": "c"}], top_n=1)
    job, wish = vector_job_of(request, 7, HERE)
    assert job == RerankJob(7, "q", ("a", "b"), HERE)
    assert wish == RANK._replace(top_n=1)


def test_members_without_effect_are_named() -> None:
    request = asked(Endpoint.RERANK, query="q", documents=["a"], max_tokens_per_doc=9, rank_fields=["text"])
    assert ignored_members(request) == ["max_tokens_per_doc", "rank_fields"]


def test_vectors_come_as_floats_or_as_base64() -> None:
    outcome = Vectors(7, (packed(0.5, -1.0), packed(2.0, 0.0)), 9)
    floats = answered(EMBED, outcome)
    assert floats["data"] == [
        {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
        {"object": "embedding", "index": 1, "embedding": [2.0, 0.0]},
    ]
    assert (floats["object"], floats["model"]) == ("list", "mini")
    assert floats["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    texts = answered(EMBED._replace(as_base64=True), outcome)
    assert base64.b64decode(texts["data"][1]["embedding"]) == outcome.vectors[1]


def test_a_long_answer_comes_in_pieces_that_join() -> None:
    outcome = Vectors(7, tuple(packed(*[float(number)] * 1024) for number in range(100)), 9)
    assert len(list(answer_pieces(EMBED, outcome, "vec-1"))) > 5
    assert [(one["index"], one["embedding"][-1]) for one in answered(EMBED, outcome)["data"]] == [
        (number, float(number)) for number in range(100)
    ]


def test_rankings_are_best_first() -> None:
    ranked = answered(RANK, Scores(7, (0.25, 0.75, -1.0, 0.75), 9))
    assert [(one["index"], one["relevance_score"]) for one in ranked["results"]] == [
        (1, 0.75),
        (3, 0.75),
        (0, 0.25),
        (2, -1.0),
    ]
    assert (ranked["id"], ranked["model"]) == ("vec-1", "mini")
    assert ranked["usage"] == {"prompt_tokens": 9, "total_tokens": 9}


def test_only_as_many_as_asked_for_and_with_their_documents() -> None:
    wish = RANK._replace(top_n=1, documents=("a", "b"))
    assert answered(wish, Scores(7, (0.25, 0.75), 9))["results"] == [
        {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}}
    ]
    assert len(answered(RANK._replace(top_n=9), Scores(7, (0.25, 0.75), 9))["results"]) == 2
