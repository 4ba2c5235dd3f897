from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from adapters.llama_cpp_job import ToolSpec
from adapters.schema import InvalidRequest
from gateway.local.choosing.grammar import Grammar
from gateway.local.choosing.json_schema import MAX_DEPTH, MAX_SCHEMA_CHARS, grammar_for_schema, grammar_for_tools

if TYPE_CHECKING:
    from gateway.local.binding.llama import Model

INTEGER = {"type": "integer"}
OTHER = {"properties": {"b": INTEGER}}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "mail": {"type": ["string", "null"]}},
    "required": ["name"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
}


def accepts(model: Model, grammar: str, text: str) -> bool:
    """Whether the grammar allows exactly this text: by our reading, which llama.cpp's agrees with."""
    ours = Grammar(grammar)
    spot = ours.after(ours.start(), text.encode())
    is_allowed = spot is not None and spot.can_end
    assert is_allowed == accepted_by_llama_cpp(model, grammar, text)
    return is_allowed


def accepted_by_llama_cpp(model: Model, grammar: str, text: str) -> bool:
    import ctypes  # noqa: PLC0415 - beside the library it serves

    import numpy as np  # noqa: PLC0415 - heavy

    from gateway.local.binding.llama import LLAMA  # noqa: PLC0415 - loads llama.cpp

    sampler = LLAMA.llama_sampler_init_grammar(model.vocab, grammar.encode(), b"root")
    assert sampler, grammar

    def allows(token: int) -> bool:
        one = LLAMA.llama_token_data(token, 1.0, 0.0)
        LLAMA.llama_sampler_apply(
            sampler,
            ctypes.byref(LLAMA.llama_token_data_array(ctypes.pointer(one), 1, -1, False)),
        )
        return not np.isneginf(one.logit)

    try:
        for token in model.tokenize(text) if text else []:
            if not allows(token):
                return False
            LLAMA.llama_sampler_accept(sampler, token)
        return allows(LLAMA.llama_vocab_eos(model.vocab))
    finally:
        LLAMA.llama_sampler_free(sampler)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({}, ['{"a": [1, null]}', "{}"], ["[]", '"a"', "{"]),
        (PERSON, ['{"name": "A"}', '{"name":"A","age":-3}', '{"name":"A","mail":null}'], ['{"age":1}', '{"name":1}']),
        (PERSON, ['{"name":"A","age":1,"mail":"x"}'], ['{"name":"A","other":1}', '{"name":"A",}', '{"name":"A"} x']),
        (TREE, ['{"value":1,"next":{"value":2,"next":null}}'], ['{"value":1}', '{"value":1,"next":2}']),
        ({"enum": ['a"b', 1, None]}, ['"a\\"b"', "1", "null"], ['"a"', "2"]),
        ({"const": {"k": "\\"}}, ['{"k": "\\\\"}'], ['{"k": "x"}']),
        ({"items": INTEGER, "minItems": 2, "maxItems": 3}, ["[1,2]", "[1, 2, 3]"], ["[1]", "[1,2,3,4]"]),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
        ({"type": "array", "maxItems": 2}, ["[]", "[1,{}]"], ["[1,2,3]"]),
        ({"type": "array", "prefixItems": [INTEGER, {"type": "boolean"}]}, ["[1,true]"], ["[1]", "[true,1]"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"a\\n"'], ['"a"', '"abcd"']),
        ({"type": "string", "format": "date"}, ['"2026-11-22"'], ['"2026-13-22"', '"today"']),
        ({"type": "integer", "minimum": 0, "maximum": 12}, ["0", "12"], ["13", "-1", "1.5"]),
        ({"type": "integer", "minimum": 1}, ["1", "99"], ["0", "-1"]),
        ({"type": "number", "minimum": 0}, ["0.5", "7"], ["-0.5"]),
        ({"type": "integer", "minimum": -3, "maximum": 1200}, ["-3", "0", "999", "1200"], ["-4", "1201", "-0"]),
        ({"type": "number", "exclusiveMinimum": -1, "maximum": 2}, ["-0.5", "0", "2"], ["-1", "2.5"]),
        ({"type": "number"}, ["-1.5e10", "0"], ["01", ".5", "NaN"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, ["{}", '{"a":1,"b":2}'], ['{"a":"x"}']),
        ({"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "null"}}, "required": ["y"]}],
          "$defs": {"a": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}},
         ['{"x":1,"y":null}'], ['{"x":1}', '{"y":null}']),
        ({"type": "object", "required": ["k"]}, ['{"k":[1]}'], ["{}"]),
        ({**OTHER, "anyOf": [{"required": ["b"]}, {"required": ["b", "c"]}]}, ['{"b":1}', '{"b":1,"c":2}'], ["{}"]),
        ({"$ref": "#/$defs/a", "description": "x", "$defs": {"a": INTEGER}}, ["1"], ["null"]),
        ({"$ref": "#/$defs/a", "required": ["b"], "$defs": {"a": OTHER}}, ['{"b":1}'], ["{}"]),
        ({"type": ["integer", "null"]}, ["1", "null"], ["true"]),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_grammar_accepts_what_the_schema_means(
    model: Model, schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    grammar = grammar_for_schema(json.dumps(schema), strict=True)
    assert [text for text in good if not accepts(model, grammar, text)] == []
    assert [text for text in bad if accepts(model, grammar, text)] == []


def test_tools_become_a_name_and_its_arguments(model: Model) -> None:
    grammar = grammar_for_tools((ToolSpec("weather", "", json.dumps(PERSON)), ToolSpec("stop-it", "", None)))
    assert accepts(model, grammar, 'weather\n{"name":"A"}')
    assert accepts(model, grammar, "stop-it\n{}")
    assert not accepts(model, grammar, "stop-it\n[]")
    assert not accepts(model, grammar, "weather\n{}")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "properties": {"a": {"pattern": "x"}}}, "`pattern` cannot be enforced"),
        ({"type": "number", "minimum": 0.25, "maximum": 0.5}, "range of numbers cannot be enforced"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no whole number"),
        ({"type": "integer", "minimum": "x"}, "not a valid JSON schema"),
        ({"type": "number", "maximum": float("-inf")}, "range of numbers cannot be enforced"),
        ({"$ref": "https://example.com/x"}, "leaves the schema"),
        ({"$ref": "#/$defs/none"}, "points nowhere"),
        ({"type": "strnig"}, "no type `strnig`"),
        ({"enum": []}, "1 to 1000 values"),
        ({"anyOf": [{"enum": list(range(600))}, {"enum": list(range(600))}]}, "1 to 1000 values"),
        ({"allOf": [{"type": "array", "minItems": 1}, {"minItems": 2}]}, "plain objects"),
        (
            {"allOf": [{"properties": {"a": {}}}, {"properties": {"a": {"type": "null"}}}]},
            "disagree on the property `a`",
        ),
        ({"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"required": ["b"]}, OTHER]}, "forbids"),
        ({"enum": list(range(2000))}, "1 to 1000 values"),
        ({"properties": {"a": False}}, "allow nothing"),
        ({"properties": 3}, "not a valid JSON schema"),
        ({"required": [[]]}, "not a valid JSON schema"),
        ({"const": "\ud800"}, "not a valid JSON schema"),
        ({"type": "array", "minItems": 10**9}, "`minItems` must be"),
        ({"type": "array", "minItems": 3, "maxItems": 1}, "`minItems` must be"),
        ({"allOf": [{"$ref": "#"}]}, "go in circles|nested"),
        ({"description": "x" * MAX_SCHEMA_CHARS}, "longer than"),
        ({"properties": {f"{n}": {} for n in range(9000)}}, "too large"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_hopeless_schema_is_refused_with_its_reason(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refusal:
        grammar_for_schema(json.dumps(schema), strict=True)
    assert (refusal.value.param, refusal.value.code) == ("response_format", "invalid_json_schema")


def test_depth_is_bounded() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(MAX_DEPTH + 1):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidRequest, match="nested more than"):
        grammar_for_schema(json.dumps(schema), strict=False)


def test_what_cannot_be_enforced_is_left_to_the_caller_unless_strict(model: Model) -> None:
    grammar = grammar_for_schema('{"type":"string","pattern":"^a"}', strict=False)
    assert accepts(model, grammar, '"b"')
