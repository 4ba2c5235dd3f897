"""What an `Idempotency-Key` promises: which keys are good, and which outcomes the same key is answered with again.

The promise is an answer that is billed once. So answers are kept, and so are refusals that blame the request, which
would be refused the same way again. What another try may mend is not: a full service, a limit, an upstream's failure.
What is refused before anything ran (an unknown model, say) costs nothing to decide anew, and an operator may mend it.
"""

from __future__ import annotations

from typing import Final

KEY_CHARS_MAX: Final = 255
KEPT_REFUSALS: Final = frozenset({400, 413, 415, 422})
ROOM_SHARE: Final = 16
"""One answer takes at most this part of the room for all, or one caller's would push out everybody's."""
SPENT_BYTES: Final = 1024
"""Of the room for answers, what stands for each one that is remembered without its text."""


def is_good_key(key: str) -> bool:
    """One to 255 printable characters of ASCII."""
    return 1 <= len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable()


def keeps_refusal(status: int) -> bool:
    """Whether an upstream's refusal, as the caller saw it, is what the same request will get again."""
    return status in KEPT_REFUSALS


def answer_bytes_max(room_bytes: int) -> int:
    """The longest answer that is kept."""
    return room_bytes // ROOM_SHARE


def spent_max(room_bytes: int) -> int:
    """How many answers are remembered as given, but not what they were."""
    return room_bytes // SPENT_BYTES
