"""The JSON Schemas inside a request (tools, response formats): bounded before any upstream has to walk them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adapters.openai_members import read_any, too_deep
from adapters.schema import InvalidRequest

if TYPE_CHECKING:
    import msgspec

NESTING_KEPT: Final = 100
ITEMS_KEPT: Final = 100_000  # ten times what the longest lists of tools hold, and a tenth of a second's work
_SCHEMA_KEYS: Final = ("parameters", "schema")


def check_schema(name: str, raw: msgspec.Raw) -> None:
    """Refuse nesting beyond `NESTING_KEPT` levels, too many items, and `$ref` chains that only lead to themselves."""
    text = bytes(raw)
    containers_most = text.count(b"[") + text.count(b"{")  # brackets inside of texts count too
    if containers_most + text.count(b",") > ITEMS_KEPT:
        raise InvalidRequest(f"'{name}' has more than {ITEMS_KEPT} items.", name)
    value = read_any(name, raw)
    refers = b"$ref" in text
    if not refers and containers_most <= NESTING_KEPT:
        return
    containers = _containers(name, value)
    if not refers:
        return
    checked: set[int] = set()
    for holder in containers:
        for key in _SCHEMA_KEYS:
            if isinstance(holder, dict) and id(holder) not in checked and isinstance(schema := holder.get(key), dict):
                checked.update(map(id, _check_references(name, schema)))


def _containers(name: str, value: object) -> list[object]:
    """Every object and array in `value`, level by level."""
    level, seen = [value], [value]
    for _ in range(NESTING_KEPT):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return seen
        seen += level
    raise too_deep(name)


def _inside(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _check_references(name: str, schema: dict[str, object]) -> list[object]:
    """A recursive schema is fine; references that lead only to references, and back to themselves, mean nothing.

    Returns every object and array that it has looked at.
    """
    sound: set[int] = set()
    containers = _containers(name, schema)
    for start in containers:
        node, chain = start, set[int]()
        while isinstance(node, dict) and id(node) not in sound and isinstance(target := node.get("$ref"), str):
            if id(node) in chain:
                raise InvalidRequest(f"'{name}' holds a '$ref' that only leads back to itself.", name)
            chain.add(id(node))
            node = _find(schema, target)
        sound |= chain
    return containers


def _find(schema: dict[str, object], target: str) -> object:
    """Where a JSON pointer such as `#/$defs/node` leads; None for anything else."""
    node: object = schema if target.startswith("#") else None
    for step in target[1:].split("/")[1:]:
        node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node
