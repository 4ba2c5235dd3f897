"""A recorded HTTP answer taken apart after the run, so that the client hardly computes while it measures."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
Piece = tuple[float, bytes]


@dataclass
class Trace:
    """One answer: when it was asked for, when each piece of its text arrived, and what it counted."""

    sent_s: float
    texts_s: list[float] = field(default_factory=list)
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    error: str = ""

    @property
    def ttft_s(self) -> float:
        return self.texts_s[0] - self.sent_s if self.texts_s else float("inf")

    def gaps_s(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.texts_s, self.texts_s[1:], strict=False)]


def read_answer(sent_s: float, pieces: Sequence[Piece]) -> Trace:
    """What the recorded bytes say."""
    trace = Trace(sent_s)
    raw = b"".join(data for _, data in pieces)
    head, _, _ = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        trace.error = raw[:300].decode(errors="replace") or "no answer"
        return trace
    for time_s, event in _events(raw, len(head) + 4, pieces, chunked=bool(CHUNKED.search(head))):
        if event == b"[DONE]":
            break
        _note(trace, time_s, json.loads(event))
    trace.tokens = trace.tokens or len(trace.texts_s)
    return trace


def _note(trace: Trace, time_s: float, event: dict[str, Any]) -> None:
    if "error" in event:
        trace.error = json.dumps(event["error"])[:300]
    for choice in event.get("choices") or ():
        if (choice.get("delta") or {}).get("content"):
            trace.texts_s.append(time_s)
    if usage := event.get("usage"):
        trace.tokens = usage.get("completion_tokens") or 0
        trace.prompt_tokens = usage.get("prompt_tokens") or 0
        trace.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def _events(raw: bytes, start: int, pieces: Sequence[Piece], *, chunked: bool) -> Iterator[tuple[float, bytes]]:
    """(when its last byte arrived, data) of each server-sent event."""
    ends = list(accumulate(len(data) for _, data in pieces))
    pending, at = b"", start
    for end, part in _parts(raw, start) if chunked else [(len(raw), raw[start:])]:
        pending += part.replace(b"\r\n", b"\n")
        at = end
        while b"\n\n" in pending:
            event, _, pending = pending.partition(b"\n\n")
            if event.startswith(b"data: "):
                yield pieces[min(bisect_left(ends, at), len(pieces) - 1)][0], event[6:]


def _parts(raw: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """(where it ends, content) of each HTTP chunk."""
    while (line_end := raw.find(b"\r\n", at)) >= 0:
        size = int(raw[at:line_end].split(b";")[0], 16)
        start = line_end + 2
        if size == 0 or start + size > len(raw):
            return
        yield start + size, raw[start : start + size]
        at = start + size + 2
