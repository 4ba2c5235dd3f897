from __future__ import annotations

from typing import Any

import pytest

from adapters.dialects import tool_types


@pytest.mark.parametrize(
    ("parameters", "types"),
    [
        (None, {}),
        ({}, {}),
        ({"properties": {"a": {"type": "string"}, "b": {"type": ["string"]}}}, {"a": "string", "b": ""}),
        ({"properties": {"a": True}}, {"a": ""}),
        ({"properties": {"a": {"enum": ["x", "y"]}, "b": {"enum": ["x", 1]}}}, {"a": "string", "b": ""}),
        ({"properties": 3}, {}),
    ],
)  # fmt: skip
def test_parameters_have_a_type_where_it_is_one(parameters: Any, types: dict[str, str]) -> None:
    function = {"name": "f"} | ({} if parameters is None else {"parameters": parameters})
    assert tool_types([{"type": "function", "function": function}]) == {"f": types}


def test_no_tools_have_no_types() -> None:
    assert tool_types(None) == {}
