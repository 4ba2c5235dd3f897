"""The functions that a request offers, as readers need them: their names, and the types of their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ToolTypes = dict[str, dict[str, str]]
"""Name of a function to name of a parameter to its JSON type, empty where there is none or more than one."""


def tool_types(tools: Sequence[Mapping[str, Any]] | None) -> ToolTypes:
    """Of OpenAI's list of tools, which has been validated; a schema that makes no sense has no types."""
    return {tool["function"]["name"]: _types(tool["function"].get("parameters")) for tool in tools or ()}


def _types(schema: object) -> dict[str, str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {name: _type(one) for name, one in properties.items()}


def _type(schema: object) -> str:
    if not isinstance(schema, dict):
        return ""
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    values = schema.get("enum")
    return "string" if isinstance(values, list) and all(isinstance(value, str) for value in values) else ""
