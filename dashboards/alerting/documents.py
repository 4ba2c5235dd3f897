"""YAML as people read it: keys in the order of the code, texts of several lines as blocks."""

from __future__ import annotations

from typing import Any, Final

import yaml

_NOTE: Final = "# Written by `make dashboards` from dashboards/alerting; edit that.\n"
_WIDTH: Final = 110


class _Blocks(yaml.SafeDumper):
    """Writes a text of several lines as a block, and lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _text)


def written(about: str, document: dict[str, Any]) -> str:
    """`document` as YAML, under a comment that says what it is about and where it comes from."""
    body = yaml.dump(document, Dumper=_Blocks, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return f"# {about}\n{_NOTE}{body}"
