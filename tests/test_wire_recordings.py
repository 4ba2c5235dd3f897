"""No recording is left aside unnoticed."""

from __future__ import annotations

from collections import Counter

from tests.wire_recordings import (
    ANSWERS,
    EMBEDDINGS,
    ERRORS,
    IN_OPENAIS_FORMAT,
    RECORDINGS,
    UNREAD,
    needs_recordings,
)


@needs_recordings
def test_every_recording_is_read_once_or_listed_with_its_reason() -> None:
    read = [each["id"] for each in (*IN_OPENAIS_FORMAT, *ANSWERS, *EMBEDDINGS, *ERRORS)]
    assert Counter([*read, *UNREAD]) == Counter({each["id"]: 1 for each in RECORDINGS})
    assert {each["split"] for each in RECORDINGS} == {"dev"}
