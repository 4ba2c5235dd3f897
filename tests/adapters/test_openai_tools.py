from __future__ import annotations

import json
import time

import msgspec
import pytest

from adapters.openai_tools import ITEMS_KEPT, NESTING_KEPT, check_schema
from adapters.schema import InvalidRequest


def tool(parameters: object) -> list[dict[str, object]]:
    return [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


def check(value: object) -> None:
    check_schema("tools", msgspec.Raw(json.dumps(value).encode()))


def nested(levels: int) -> object:
    value: object = {}
    for _ in range(levels):
        value = {"items": value}
    return value


SOUND = {
    "no parameters": tool({}),
    "linked list": tool({"type": "object", "properties": {"next": {"$ref": "#"}}}),
    "tree": tool({"$ref": "#/$defs/node", "$defs": {"node": {"items": {"$ref": "#/$defs/node"}}}}),
    "chain": tool({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}}}),
    "escaped pointer": tool({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string"}}}),
    "elsewhere": tool({"$ref": "https://example.org/schema.json"}),
    "nowhere": tool({"$ref": "#/$defs/missing"}),
    "a property of that name": tool({"properties": {"$ref": {"type": "string"}}}),
    "as deep as allowed": tool(nested(NESTING_KEPT - 4)),
    "brackets in text": tool({"description": "[{" * 500}),
    "many tools": tool({"properties": {}}) * 200,
}


@pytest.mark.parametrize("value", SOUND.values(), ids=SOUND)
def test_schemas_that_mean_something_pass(value: object) -> None:
    check(value)


UNSOUND = {
    "itself": tool({"$ref": "#"}),
    "two in a ring": tool({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    "a ring aside": tool({"$defs": {"a": {"$ref": "#/$defs/a"}}}),
    "too deep": tool(nested(NESTING_KEPT + 1)),
    "far too deep": tool(nested(300)),
}


@pytest.mark.parametrize("value", UNSOUND.values(), ids=UNSOUND)
def test_endless_and_bottomless_schemas_are_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"leads back|too deeply") as refused:
        check(value)
    assert refused.value.param == "tools"


def test_a_long_chain_of_references_is_followed_once() -> None:
    definitions: dict[str, object] = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(5000)}
    check(tool({"$ref": "#/$defs/d0", "$defs": definitions}))


def test_numbers_out_of_range_are_refused_in_schemas_too() -> None:
    with pytest.raises(InvalidRequest, match="out of range"):
        check_schema("tools", msgspec.Raw(b'[{"function":{"parameters":{"maximum":1e999}}}]'))


@pytest.mark.parametrize(
    "value", [[[]] * ITEMS_KEPT, [{}] * ITEMS_KEPT, [dict.fromkeys(map(str, range(ITEMS_KEPT)), 0)]]
)
def test_too_many_items_are_refused_before_they_are_looked_at(value: object) -> None:
    with pytest.raises(InvalidRequest, match="more than 100000 items"):
        check(value)


def test_schemas_inside_of_schemas_are_walked_once() -> None:
    schema: object = {"enum": [{"$ref": "#/a"}] * 30_000}
    for _ in range(NESTING_KEPT - 6):
        schema = {"parameters": schema}
    started_s = time.monotonic()
    check(tool(schema))
    assert time.monotonic() - started_s < 1
