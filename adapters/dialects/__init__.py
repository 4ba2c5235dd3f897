"""How families of models write tool calls and thoughts, and readers that turn generated text back into them.

A dialect is found by the marks in a model's chat template. Nothing here does I/O or knows how answers are sent.
"""

from __future__ import annotations

from adapters.dialects.dialect import Dialect, Thoughts
from adapters.dialects.families import DIALECTS, dialect_named, dialect_of
from adapters.dialects.reader import Reader
from adapters.dialects.tape import Kind, Piece
from adapters.dialects.tools import tool_types

__all__ = ["DIALECTS", "Dialect", "Kind", "Piece", "Reader", "Thoughts", "dialect_named", "dialect_of", "tool_types"]
