"""Answers that have to be JSON, and of a shape: by a model that would write nonsense if it were free to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.end_to_end.engine.house import CHAT, conversation

if TYPE_CHECKING:
    from tests.end_to_end.engine.house import House

ASK: Any = {**conversation("steady", "Write an example."), "temperature": 1, "max_tokens": 300}
CITY: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "country": {"enum": ["FR", "IT", "中国"]},
        "size": {"type": "integer", "minimum": 1, "maximum": 400},
        "rivers": {"type": "array", "items": {"$ref": "#/$defs/river"}, "maxItems": 2},
        "mayor": {"anyOf": [{"type": "null"}, {"const": "yes"}]},
    },
    "required": ["name", "country", "size", "rivers", "mayor"],
    "additionalProperties": False,
    "$defs": {"river": {"type": "object", "properties": {"long": {"type": "boolean"}}, "required": ["long"],
                        "additionalProperties": False}},
}  # fmt: skip


def obeying(schema: object, **more: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema} | more}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"const": "42"}, '"42"'),
        ({"const": "Ærø ☃"}, '"Ærø ☃"'),
        ({"enum": [7]}, "7"),
        ({"type": "null"}, "null"),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": True}], "minItems": 2, "maxItems": 2}, "[1,true]"),
    ],
)
def test_where_one_answer_is_allowed_it_comes(house: House, schema: object, text: str) -> None:
    (choice,) = house.asked(CHAT, ASK | {"response_format": obeying(schema)})["choices"]
    assert json.loads(choice["message"]["content"]) == json.loads(text)
    assert choice["finish_reason"] == "stop"


def test_json_mode_may_bring_a_schema(house: House) -> None:
    ask = ASK | {"response_format": {"type": "json_object", "schema": CITY}, "seed": 1}
    jsonschema.validate(json.loads(house.asked(CHAT, ask)["choices"][0]["message"]["content"]), CITY)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_chance_draws_obeys_the_schema(house: House, seed: int) -> None:
    ask = ASK | {"response_format": obeying(CITY, strict=True), "seed": seed}
    (choice,), stream = house.asked(CHAT, ask)["choices"], house.stream(CHAT, ask)
    assert stream.text() == choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), CITY)


def test_several_choices_obey_each_by_itself(house: House) -> None:
    choices = house.asked(CHAT, ASK | {"response_format": obeying(CITY), "n": 3, "seed": 1})["choices"]
    cities = [json.loads(choice["message"]["content"]) for choice in choices]
    for city in cities:
        jsonschema.validate(city, CITY)
    assert len({json.dumps(city) for city in cities}) > 1


def test_json_mode_makes_an_object(house: House) -> None:
    """This model hardly ever closes what it opened, so the braces are made likely."""
    closing = {str(ord(letter)): 6 for letter in '"}'}
    ask = ASK | {"response_format": {"type": "json_object"}, "logit_bias": closing, "seed": 1}
    (choice,) = house.asked(CHAT, ask)["choices"]
    assert choice["finish_reason"] == "stop"
    assert isinstance(json.loads(choice["message"]["content"]), dict)


def test_an_answer_that_is_cut_says_so(house: House) -> None:
    (choice,) = house.asked(CHAT, ASK | {"response_format": obeying(CITY), "max_tokens": 5})["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"].startswith("{")


def test_text_is_a_format_too(house: House) -> None:
    free = house.asked(CHAT, ASK | {"seed": 1})
    told = house.asked(CHAT, ASK | {"seed": 1, "response_format": {"type": "text"}})
    assert told["choices"][0]["message"] == free["choices"][0]["message"]


@pytest.mark.parametrize("wrong", [
    {"type": "sound"},
    {"type": 3},
    {},
    {"type": "json_object", "schema": 123},
    {"type": "json_object", "schema": {"type": "hiccup"}},
    {"type": "json_schema"},
    {"type": "json_schema", "json_schema": {"schema": 123}},
    obeying({"type": 123}),
    obeying({"type": "hiccup"}),
    obeying({"$ref": "#/$defs/nowhere"}),
    obeying({"$ref": "https://example.com/schema.json"}),
    obeying({"type": "string", "pattern": "(((("}, strict=True),
    obeying({"enum": []}),
    obeying({"type": "array", "minItems": 3, "maxItems": 1}),
    obeying(json.loads('{"items":' * 80 + "{}" + "}" * 80)),
])  # fmt: skip
def test_a_format_that_means_nothing_is_refused(house: House, wrong: dict[str, Any]) -> None:
    for stream in (False, True):
        error = house.refused(CHAT, ASK | {"response_format": wrong, "stream": stream})
        assert error["type"] == "invalid_request_error"
        assert error["param"].startswith("response_format")


def test_a_format_and_a_forced_tool_exclude_each_other(house: House) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    ask = ASK | {"response_format": obeying({}), "tools": [tool], "tool_choice": "required"}
    assert house.refused(CHAT, ask)["param"] == "tool_choice"
