"""Whether an entry that came from outside this process can be one of ours: its types are right, its values may be
anybody's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.state.answers.store import Entry, Record

DIGEST_BYTES: Final = 32
NAME_CHARS_MAX: Final = 1_024
TAGS_MAX: Final = 64
HEADERS_MAX: Final = 64
BODY_BYTES_MAX: Final = 64 << 20
QUESTION_CHARS_MAX: Final = 1 << 20
TTL_MAX_S: Final = 366 * 86_400.0
LATEST_S: Final = 1e11
COUNT_MAX: Final = 1 << 50
"""Sums of many of them are still numbers that databases can hold."""

_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def is_sound(entry: Entry) -> bool:
    """Nothing of it is of a shape or size that no gateway makes. What the body says is for its reader to judge."""
    names = (entry.owner, entry.route, entry.endpoint, entry.model, entry.deployment, entry.request_id, entry.embedder)
    return (
        _ID.fullmatch(entry.id) is not None
        and bool(entry.owner)
        and all(map(_is_name, names))
        and len(entry.scope) == len(entry.exact) == DIGEST_BYTES
        and len(entry.near) in {0, DIGEST_BYTES}
        and len(entry.question) <= QUESTION_CHARS_MAX
        and len(entry.body) <= BODY_BYTES_MAX
        and len(entry.tags) <= TAGS_MAX
        and all(map(_is_name, entry.tags))
        and len(entry.headers) <= HEADERS_MAX
        and all(name and _is_name(name) and _is_name(value) for name, value in entry.headers)
        and all(0 <= count <= COUNT_MAX for count in _counts(entry))
        and _are_times(entry.stored_at_s, entry.expires_at_s)
    )


def is_sound_record(record: Record) -> bool:
    return all(0 <= count <= COUNT_MAX for count in (record.hits, record.good, record.bad))


def _is_name(text: str) -> bool:
    return len(text) <= NAME_CHARS_MAX and _CONTROL.search(text) is None


def _counts(entry: Entry) -> tuple[int, ...]:
    used = entry.used
    return (
        used.input_tokens,
        used.output_tokens,
        used.cached_input_tokens,
        used.reasoning_tokens,
        used.cost_nanousd or 0,
    )


def _are_times(stored_at_s: float, expires_at_s: float) -> bool:
    """Numbers, which a NaN is not, and not for ever."""
    return 0.0 <= stored_at_s <= LATEST_S and 0.0 <= expires_at_s - stored_at_s <= TTL_MAX_S
