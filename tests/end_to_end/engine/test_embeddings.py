"""Vectors of texts: one and many, as numbers and packed, of texts and of ids of tokens."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.engine.house import EMBEDDINGS

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.end_to_end.engine.house import House

TEXTS = ["the cat and the dog", "the moon", "a river in the city of the king"]
WIDTH = 32
CLS, SEP = 2, 3


def vectors(house: House, given: object, **more: object) -> list[list[float]]:
    answer = house.asked(EMBEDDINGS, {"model": "embed", "input": given, "encoding_format": "float"} | more)
    assert [one["index"] for one in answer["data"]] == list(range(len(answer["data"])))
    return [one["embedding"] for one in answer["data"]]


def near(vector: list[float]) -> Any:
    """Batches of other sizes round otherwise."""
    return pytest.approx(vector, abs=1e-3)


def test_an_answer_has_all_that_clients_read(house: House) -> None:
    answer = house.asked(EMBEDDINGS, {"model": "embed", "input": TEXTS[0]})
    (one,) = answer["data"]
    assert (answer["object"], answer["model"], one["object"], one["index"]) == ("list", "embed", "embedding", 0)
    assert len(one["embedding"]) == WIDTH
    # Five words between the two tokens that this model wants around a text.
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


@pytest.mark.parametrize("given", ["cat", TEXTS])
def test_vectors_have_length_one(house: House, given: object) -> None:
    for vector in vectors(house, given):
        assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-4)


def test_many_at_once_are_what_they_are_alone(house: House) -> None:
    together = vectors(house, TEXTS * 12)
    alone = [vectors(house, text)[0] for text in TEXTS]
    assert len(together) == 36
    for number, vector in enumerate(together):
        assert vector == near(alone[number % 3])
    assert alone[0] != near(alone[1])


def test_tokens_of_many_texts_add_up(house: House) -> None:
    told = [house.asked(EMBEDDINGS, {"model": "embed", "input": given})["usage"] for given in (*TEXTS, TEXTS)]
    sizes = [usage["prompt_tokens"] for usage in told]
    assert sizes[-1] == sum(sizes[:-1])
    assert all(usage["prompt_tokens"] == usage["total_tokens"] for usage in told)


@pytest.mark.parametrize(
    ("given", "answers"), [("cat", 1), (["cat"], 1), ([5, 6, 7], 1), ([[5, 6, 7]], 1), ([[5], [6], [7]], 3)]
)
def test_forms_of_input(house: House, given: object, answers: int) -> None:
    assert [len(vector) for vector in vectors(house, given)] == [WIDTH] * answers


def test_ids_of_tokens_are_as_good_as_the_text(house: House) -> None:
    """The vocabulary has its words in a row: `the` and `cat` are its sixth and its thirteenth token."""
    (text,), (ids,) = vectors(house, "the cat"), vectors(house, [CLS, 5, 12, SEP])
    assert text == near(ids)


def test_packed_numbers_are_the_same_numbers(house: House, client: OpenAI) -> None:
    packed = house.asked(EMBEDDINGS, {"model": "embed", "input": TEXTS, "encoding_format": "base64"})["data"]
    for one, numbers in zip(packed, vectors(house, TEXTS), strict=True):
        assert struct.unpack(f"<{WIDTH}f", base64.b64decode(one["embedding"], validate=True)) == near(numbers)
    for told, numbers in zip(
        client.embeddings.create(model="embed", input=TEXTS).data, vectors(house, TEXTS), strict=True
    ):
        assert told.embedding == near(numbers)


def test_fewer_numbers_are_the_first_of_all(house: House) -> None:
    (whole,), (short,) = vectors(house, "cat"), vectors(house, "cat", dimensions=8)
    length = sum(number * number for number in whole[:8]) ** 0.5
    assert short == near([number / length for number in whole[:8]])


def test_the_longest_text_that_fits(house: House) -> None:
    """Near the end of the window and at it, side by side."""
    sizes = [253, 254]
    answer = house.asked(EMBEDDINGS, {"model": "embed", "input": ["cat " * size for size in sizes]})
    assert answer["usage"]["prompt_tokens"] == sum(sizes) + 2 * 2


def test_a_text_that_does_not_fit_is_refused_with_both_numbers(house: House) -> None:
    error = house.refused(EMBEDDINGS, {"model": "embed", "input": ["cat", "cat " * 255]})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    assert "256 tokens. Input 1 has 257." in error["message"]


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [""]}, "input"),
        ({"input": ["x", ""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [5, "cat"]}, "input"),
        ({"input": [[5, "cat"]]}, "input"),
        ({"input": ["cat", [5]]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [10**6]}, "input"),
        ({"input": {"content": "cat"}}, "input"),
        ({"input": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": WIDTH + 1}, "dimensions"),
        ({"stream": True}, "stream"),
    ],
)
def test_nonsense_is_refused_by_name(house: House, changed: dict[str, Any], param: str) -> None:
    error = house.refused(EMBEDDINGS, {"model": "embed", "input": "cat"} | changed)
    assert (error["type"], error["param"].partition("[")[0]) == ("invalid_request_error", param)


@pytest.mark.parametrize("model", ["steady", "rank"])
def test_what_makes_no_vectors_says_so(house: House, model: str) -> None:
    assert house.refused(EMBEDDINGS, {"model": model, "input": "cat"})["code"] == "unsupported_endpoint"
