"""What a command has to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yaml import YAMLError


class Shown(NamedTuple):
    """`body` is for `--json`; people get the table, or a secret alone on standard output. `note` is for their eyes.
    `exit_code` is 0 unless what was asked came to nothing.
    """

    body: Any
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    secret: str | None = None
    note: str = ""
    exit_code: int = 0


def path_of(*parts: str) -> str:
    return "/admin/v1/" + "/".join(quote(part, safe="") for part in parts)


def query_of(values: dict[str, object]) -> str:
    """With its question mark; nothing where nothing is asked for."""
    text = urlencode({name: value for name, value in values.items() if value is not None})
    return f"?{text}" if text else ""


def not_yaml(error: YAMLError) -> str:
    """What is wrong with a file, and where; never what stands there, which the library quotes and may be a secret."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "context", None) or "a character is not allowed"
    return f"is not YAML: {what}" + ("" if mark is None else f", line {mark.line + 1}")
