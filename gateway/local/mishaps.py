"""What a worker says of an error of its own: where it came from, and none of its words, which may be a caller's."""

from __future__ import annotations

import traceback
from pathlib import Path

_FRAMES = 3


def origin_of(error: BaseException) -> str:
    """Its type, and the last lines of code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    where = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {where or 'no line of ours'}"
