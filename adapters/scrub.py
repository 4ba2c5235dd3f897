"""Foreign text made safe to show: no host, no credential, no control characters, a bounded length.

Patterns work on blank-free tokens and never backtrack, so the time is linear in the (bounded) text.
"""

from __future__ import annotations

import re
from typing import Final

from policies.redaction import ASSIGNED, BEARER, KEY_SHAPES

SHOWN_BYTES: Final = 2048
_READ_CHARS: Final = 8192

_TOKEN = re.compile(r"""[^\s"'`<>(){}\[\],;|]++""")
_PIECE = re.compile(r"[^=@/]++")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECRET = re.compile(rf"{KEY_SHAPES}|[\w+-]{{40,}}+")
_HOST = re.compile(
    r"(?i)\d{1,3}+(?:\.\d{1,3}+){3}(?::\d++)?"  # IPv4
    r"|[0-9a-f]{0,4}+(?::[0-9a-f]{0,4}+){3,8}+"  # IPv6
    r"|localhost(?::\d++)?|[a-z0-9][a-z0-9_-]*+:\d{4,5}"
    r"|(?:[a-z0-9_-]++\.)+?(?:com|net|org|io|ai|dev|cloud|app|run|local|localdomain|internal|intranet|corp|home|lan|svc"
    r"|cluster|test|example|invalid|arpa|eu|us|uk|de|fr|cn|co|in|jp|tech|chat)(?::\d++)?"
)


def scrub(text: str) -> str:
    """`text` without hosts, addresses, URLs and credentials, cut to `SHOWN_BYTES`."""
    text = _CONTROL.sub(" ", text[:_READ_CHARS])
    text = BEARER.sub(r"\1 [secret]", text)
    text = ASSIGNED.sub(r"\1\2[secret]", text)
    text = _TOKEN.sub(lambda token: _scrubbed_token(token.group()), text).strip()
    return text.encode("utf-8", "replace")[:SHOWN_BYTES].decode("utf-8", "ignore")


def _scrubbed_token(token: str) -> str:
    if "://" in token:
        return "[url]"
    if len(token) < 6:
        return token
    return _PIECE.sub(lambda piece: _scrubbed_piece(piece.group()), token)


def _scrubbed_piece(piece: str) -> str:
    core = piece.rstrip(".:!?")
    if _SECRET.fullmatch(core):
        return "[secret]" + piece[len(core) :]
    if _HOST.fullmatch(core):
        return "[host]" + piece[len(core) :]
    return piece
