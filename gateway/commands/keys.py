"""`pointsman keys generate`: a fresh virtual key."""

from __future__ import annotations

import sys

from gateway.keys.virtual_keys import generate as fresh_key

OK = 0
REFUSED = 2


def generate(env: str) -> int:
    """The key alone on standard output, for scripts; advice on standard error. 2 for an impossible `env`."""
    try:
        key = fresh_key(env)
    except ValueError as problem:
        sys.stderr.write(f"pointsman keys generate: {problem}\n")
        return REFUSED
    sys.stdout.write(f"{key}\n")
    sys.stderr.write(
        "It is shown once and kept nowhere. Put it where a reference can reach it, and into the policy file:\n"
        '  keys: [{name: NAME, secret: "${env:VARIABLE}"}]\n'
    )
    return OK
