"""Documents ranked by how well they answer a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import RERANK

if TYPE_CHECKING:
    from tests.end_to_end.engine.house import House

DOCUMENTS = ["the cat and the dog", "a king in a city", "the moon", "a river to the sea"]
ASK: Any = {"model": "rank", "query": "the sun and the moon", "documents": DOCUMENTS}


def scores(house: House, **changed: object) -> dict[int, float]:
    return {one["index"]: one["relevance_score"] for one in house.asked(RERANK, ASK | changed)["results"]}


def test_the_best_comes_first_and_every_document_once(house: House) -> None:
    answer = house.asked(RERANK, ASK)
    told = [one["relevance_score"] for one in answer["results"]]
    assert told == sorted(told, reverse=True)
    assert told[0] > told[-1]
    assert sorted(one["index"] for one in answer["results"]) == [0, 1, 2, 3]
    assert answer["model"] == "rank"
    assert all(set(one) == {"index", "relevance_score"} for one in answer["results"])


def test_a_score_is_of_the_query_and_the_document_alone(house: House) -> None:
    usual = scores(house)
    turned = scores(house, documents=DOCUMENTS[::-1])
    assert {3 - index: score for index, score in turned.items()} == pytest.approx(usual, abs=1e-4)
    assert scores(house, documents=[DOCUMENTS[2]])[0] == pytest.approx(usual[2], abs=1e-4)
    assert scores(house, query="a dog") != pytest.approx(usual, abs=1e-4)


def test_equal_documents_stay_in_order(house: House) -> None:
    assert [one["index"] for one in house.asked(RERANK, ASK | {"documents": ["the moon"] * 3})["results"]] == [0, 1, 2]


@pytest.mark.parametrize(("top_n", "answers"), [(None, 4), (1, 1), (2, 2), (4, 4), (99, 4)])
def test_as_many_as_asked_for(house: House, top_n: int | None, answers: int) -> None:
    all_ = house.asked(RERANK, ASK)["results"]
    few = house.asked(RERANK, ASK | {"top_n": top_n})["results"]
    assert [one["index"] for one in few] == [one["index"] for one in all_[:answers]]


@pytest.mark.parametrize(
    ("query", "documents"), [("cat", ["dog", "the sun"]), ("the king", ["a", "river in the city"])]
)
def test_the_query_is_read_with_each_document(house: House, query: str, documents: list[str]) -> None:
    usage = house.asked(RERANK, ASK | {"query": query, "documents": documents})["usage"]
    alone = [
        house.asked(RERANK, ASK | {"query": query, "documents": [one]})["usage"]["prompt_tokens"] for one in documents
    ]
    words = sum(len(query.split()) + len(one.split()) for one in documents)
    assert usage["prompt_tokens"] == usage["total_tokens"] == sum(alone)
    assert usage["prompt_tokens"] == words + 2 * 2  # with a token before and one between the two of each pair


def test_documents_are_shown_on_request(house: House) -> None:
    documents = ["the cat", {"text": "the moon", "title": "M"}]
    results = house.asked(RERANK, ASK | {"documents": documents, "return_documents": True})["results"]
    assert {one["index"]: one["document"]["text"] for one in results} == {0: "the cat", 1: "the moon"}


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": 123}, "documents"),
        ({"documents": "the cat"}, "documents"),
        ({"documents": [1, 2, 3]}, "documents"),
        ({"documents": ["x", None]}, "documents"),
        ({"documents": [{"title": "x"}]}, "documents"),
        ({"documents": ["cat " * 300]}, "documents"),
        ({"query": None}, "query"),
        ({"query": ""}, "query"),
        ({"query": ["x"]}, "query"),
        ({"query": "x" * 100_000}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "all"}, "top_n"),
        ({"stream": True}, "stream"),
    ],
)
def test_nonsense_is_refused_by_name(house: House, changed: dict[str, Any], param: str) -> None:
    error = house.refused(RERANK, ASK | changed)
    assert (error["type"], error["param"].partition("[")[0]) == ("invalid_request_error", param)


@pytest.mark.parametrize("missing", ["query", "documents"])
def test_what_is_missing_is_named(house: House, missing: str) -> None:
    error = house.refused(RERANK, {name: value for name, value in ASK.items() if name != missing})
    assert (error["type"], error["param"]) == ("invalid_request_error", missing)


@pytest.mark.parametrize("model", ["steady", "embed"])
def test_what_makes_no_scores_says_so(house: House, model: str) -> None:
    assert house.refused(RERANK, ASK | {"model": model})["code"] == "unsupported_endpoint"
