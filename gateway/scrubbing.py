"""Makes foreign text fit to be written down: no control characters, nothing that looks like a secret, not too long.

Providers echo keys in error messages, and a caller can put escape sequences into a model's name.
"""

from __future__ import annotations

import re

LONGEST_MESSAGE = 512
LONGEST_NAME = 256

_SECRETS = re.compile(
    r"""
      (?: bearer | basic ) \s+ [^\s"',;]+                         # Authorization values
    | \b (?: (?: sk | pk | rk | gsk | xai | hf | key | ghp | glpat ) [-_] | AKIA | AIza ) [\w\-*.]{12,}
    | (?<= :// ) [^/\s@]+ (?= @ )                                # user:password in a URL
    | (?<= [?&] ) (?: key | api[-_]?key | token | sig | signature | secret ) = [^&\s"']+
    | \b (?: (?: x- )? api[-_\ ]?key | authorization | password | secret | token ) ["']? \s* [:=] \s* ["']? [^\s"',;}]+
    # Any long opaque word. The lookaheads are bounded, so the time stays linear.
    | \b (?= [\w+/\-]{0,40} [0-9] ) (?= [\w+/\-]{0,40} [A-Za-z] ) [\w+/\-]{32,} ={0,2}
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SCANNED_CHARS = 8 * 1024


def scrub(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text` as it may appear in a log line, span or ledger: secrets masked, then printable, then cut."""
    return printable(_SECRETS.sub("[redacted]", text[:_SCANNED_CHARS]), longest)


def printable(text: str, longest: int = LONGEST_NAME) -> str:
    """`text` on one line, with whatever a terminal or a log reader might act upon written as an escape."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escaped if len(escaped) <= longest else escaped[: longest - 1] + "…"
