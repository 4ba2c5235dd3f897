"""What readers make of texts, however these are cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapters.dialects import Kind, Reader, dialect_named, tool_types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adapters.dialects import Piece


def tool(name: str, **types: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in types.items()}
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


TOOLS = [tool("get_weather", city="string", days="integer", units="object"), tool("now"), tool("run", code="string")]


@dataclass
class Message:
    """A whole answer."""

    text: str = ""
    thought: str = ""
    calls: list[list[str]] = field(default_factory=list)

    def add(self, pieces: Iterable[Piece]) -> None:
        for kind, text in pieces:
            if kind is Kind.TEXT:
                self.text += text
            elif kind is Kind.THOUGHT:
                self.thought += text
            elif kind is Kind.CALL:
                self.calls.append([text, ""])
            else:
                self.calls[-1][1] += text


def read(
    dialect: str,
    text: str,
    *,
    cuts: Iterable[int] = (),
    reasoning: str = "",
    opening: str = "",
    tools: list[dict[str, Any]] = TOOLS,
    forced: bool = False,
) -> Message:
    """The message that a text comes to when it arrives cut at these places."""
    reader = Reader(dialect_named(dialect, reasoning), tool_types(tools), opening=opening, forced=forced)
    message, before = Message(), 0
    for cut in sorted({*cuts, len(text)}):
        message.add(reader.feed(text[before:cut]))
        before = cut
    message.add(reader.finish())
    return message
