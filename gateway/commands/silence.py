"""Tells whoever waits at a prompt that an answer is late, before it is given up."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATE_S: Final = 3.0


@contextlib.contextmanager
def told_of_silence(
    command: str, after_s: float = LATE_S, say: Callable[[str], object] | None = None
) -> Iterator[None]:
    """Say so once, on standard error, where what is done in here takes longer."""
    text = f"pointsman {command}: no answer for {after_s:g} s; waiting on (Ctrl-C ends it)\n"
    timer = threading.Timer(after_s, say or sys.stderr.write, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
