"""The decision in a response header, for callers who ask for it by a header of the same name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.explaining.decisions import decision_of

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.explaining.decisions import Decision

DECISION_HEADER: Final = "x-pointsman-decision"
BYTES_MAX: Final = 4096
"""Servers and proxies between here and the caller take heads of 8 KiB."""


def decision_headers(call: Call) -> list[tuple[str, str]]:
    """The header, or none where even the shortest record is too long for one."""
    text = decision_header(call)
    return [(DECISION_HEADER, text)] if text else []


def decision_header(call: Call) -> str:
    """Compact JSON in ASCII. What is too long loses its details first, then the candidates that were refused."""
    decision = decision_of(call)
    text = _ascii(decision)
    if len(text) > BYTES_MAX:
        for candidate in decision.candidates:
            candidate.detail = ""
        text = _ascii(decision)
    if len(text) > BYTES_MAX:
        decision.candidates = [candidate for candidate in decision.candidates if candidate.place is not None][:10]
        text = _ascii(decision)
    return text if len(text) <= BYTES_MAX else ""


def _ascii(decision: Decision) -> str:
    """JSON whose other characters are escaped, as headers hold ASCII."""
    return json.dumps(msgspec.to_builtins(decision), separators=(",", ":"))
