"""The policy file's JSON Schema, so that editors complete it. `python -m gateway.config.json_schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from gateway.config.model import Config

SCHEMA_FILE: Final = Path(__file__).parents[2] / "config" / "gateway.schema.json"
REFERENCE: Final = {"type": "string", "pattern": "\\$\\{(env|file):[^}]+\\}"}


def schema() -> dict[str, Any]:
    """The schema of the file as it is written, before references are put in."""
    made = Config.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_with_references(made),
        "title": "Pointsman policy file",
    }


def written() -> str:
    """What belongs into the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _with_references(node: Any) -> Any:  # noqa: ANN401 - JSON
    """The same schema in which a reference may stand wherever a scalar may that is no free text."""
    if isinstance(node, list):
        return [_with_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "string" and not isinstance(node.get("default"), str | None):
        node = {key: value for key, value in node.items() if key != "default"}  # seconds and the like: not as written
    if _is_narrow(node):
        told = {key: node[key] for key in ("title", "description", "default", "examples") if key in node}
        return told | {"anyOf": [{key: value for key, value in node.items() if key not in told}, REFERENCE]}
    return {key: _with_references(value) for key, value in node.items()}


def _is_narrow(node: dict[str, Any]) -> bool:
    """A scalar that a reference's text does not fit. A provider's kind stays narrow: it chooses the other keys."""
    if node.get("title") == "Kind":
        return False
    return node.get("type") in ("integer", "number") or "enum" in node or "const" in node or "pattern" in node


if __name__ == "__main__":
    SCHEMA_FILE.write_text(written(), encoding="utf-8")
