"""TraceQL, as far as it can be checked without a Tempo: its shape, and the names of our spans' attributes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.signals.conventions import Attr

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESOURCE: Final = frozenset({"service.name", "service.version", "service.instance.id"})
_INTRINSICS: Final = frozenset({"kind", "status", "duration", "name", "rootName", "traceDuration"})
_TERM: Final = re.compile(r"(?P<scope>span|resource)\.(?P<name>[\w.]+)|(?P<intrinsic>[a-zA-Z]\w*)(?=\s*(?:=|!=|>|<))")


def problems(expr: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a query, as (rule, words)."""
    bare = re.sub(r'"[^"]*"', '""', expr).strip()
    if not (bare.startswith("{") and bare.endswith("}")) or bare.count("{") != bare.count("}") or bare.count('"') % 2:
        yield "target-traceql", f"brackets or quotes do not match: {expr}"
        return
    known = {value for value in vars(Attr).values() if isinstance(value, str)}
    for term in _TERM.finditer(bare):
        if term["scope"] == "span" and term["name"] not in known:
            yield "target-traceql", f"no span has the attribute {term['name']}"
        if term["scope"] == "resource" and term["name"] not in _RESOURCE:
            yield "target-traceql", f"no resource has the attribute {term['name']}"
        if term["intrinsic"] is not None and term["intrinsic"] not in _INTRINSICS:
            yield "target-traceql", f"{term['intrinsic']} is nothing that TraceQL knows of every span"
    if not any(term["name"] == "service.name" for term in _TERM.finditer(bare)):
        yield "target-traceql", "it looks at the spans of every service"
