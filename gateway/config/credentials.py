"""Which values are credentials where a name is free: headers, and settings that are handed on.

A guess by name, for warnings only: what is missed is still kept out of logs, as every header and setting is.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = frozenset(
    {
        "apikey",
        "auth",
        "authorization",
        "cookie",
        "credential",
        "dsn",
        "key",
        "keys",
        "passphrase",
        "password",
        "pat",
        "secret",
        "sig",
        "signature",
        "token",
    }
)
# Their names do not say so: Honeycomb's key stands in a header called after the team.
_NAMES: Final = frozenset({"x-honeycomb-team"})
# What such a name ends in when it is about a credential and none itself: aws_access_key_id, oci_key_file.
_ABOUT: Final = frozenset({"id", "file", "path", "name", "endpoint", "url", "version"})
_VALUE: Final = re.compile(r"(?i:bearer|basic) +\S|.*PRIVATE KEY", re.DOTALL)


def is_credential(name: str, value: str) -> bool:
    """Whether this header or setting, by its name or by the look of its value, lets whoever has it in."""
    words = re.split(r"[-_.]", name.lower())
    named = name.lower() in _NAMES or (not _WORDS.isdisjoint(words) and words[-1] not in _ABOUT)
    return named or _VALUE.match(value) is not None
