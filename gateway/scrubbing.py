"""Makes foreign text fit to be written down: nothing that looks like a secret, one line, not too long.

Providers echo keys in error messages, and a caller can put escape sequences into a model's name.
"""

from __future__ import annotations

import adapters.scrub
from policies.redaction import redact

LONGEST_MESSAGE = 512
LONGEST_NAME = 256


def scrub(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text` as it may appear in a log line, span or ledger: hosts, secrets and what tells of persons masked, then
    printable, then cut. Providers quote what they were sent, prompts included.
    """
    return printable(redact(adapters.scrub.scrub(text)), longest)


def printable(text: str, longest: int = LONGEST_NAME) -> str:
    """`text` on one line, with whatever a terminal or a log reader might act upon written as an escape."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped if len(escaped) <= longest else escaped[: longest - 1] + "…"
