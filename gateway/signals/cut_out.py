"""Lines of which only numbers differ: marks in the places of the numbers, and the format string that comes of them."""

from __future__ import annotations

from typing import Final

import msgspec

# JSON has no NUL of its own, since strings escape theirs: whatever a caller or an upstream wrote, these stay findable.
NUMBER: Final = msgspec.Raw(b"\0")
TEXT: Final = msgspec.Raw(b'"\0"')
MS: Final = msgspec.Raw(b"\0.2f")  # rounds as `round` does, at a third of its cost
TENTHS: Final = msgspec.Raw(b"\0.1f")


def template_from(line: bytes) -> str:
    """The format string of a line with marks."""
    template = line.decode().replace("%", "%%")
    return template.replace("\0.2f", "%.2f").replace("\0.1f", "%.1f").replace("\0", "%s")
