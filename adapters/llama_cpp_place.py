"""Whose call it is, as a gateway tells an engine elsewhere: the header `x-pointsman-place`.

Whoever reads it learns that two calls are of one flow, or of one scope, and nothing of who that is: both travel as
keyed digests. The key is the credential that both sides share, so all gateways of an engine mean the same by them.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from adapters.llama_cpp_job import Place
from adapters.schema import InvalidRequest

HEADER: Final = "x-pointsman-place"
_DIGEST_BYTES: Final = 16
_KEY_BYTES: Final = 64
_FORM: Final = re.compile(
    r"flow=([0-9a-f]{32}); scope=([0-9a-f]{32}); weight=([0-9]{1,4}\.[0-9]{3}); priority=([0-3]);"
    r" patience=([0-9]{1,6}\.[0-9]{3})"
)
WEIGHT_MIN: Final = 0.001
WEIGHT_MAX: Final = 1_000.0
_PATIENCE_MAX_S: Final = 999_999.0


def encode_place(place: Place, secret: str) -> str:
    """The header's value, for an engine that is called with this secret."""
    weight = min(WEIGHT_MAX, max(WEIGHT_MIN, place.weight))
    patience_s = min(_PATIENCE_MAX_S, max(0.0, place.patience_s))
    flow, scope = _digest(b"flow", place.flow, secret), _digest(b"scope", place.scope, secret)
    return f"flow={flow}; scope={scope}; weight={weight:.3f}; priority={place.priority}; patience={patience_s:.3f}"


def decode_place(text: str) -> Place:
    """The place as it was told. Raises `InvalidRequest`: to guess would be to mix up tenants."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"The header {HEADER} is not as gateways write it.", code="invalid_header")
    flow, scope, weight, priority, patience_s = found.groups()
    bounded = min(WEIGHT_MAX, max(WEIGHT_MIN, float(weight)))
    return Place(flow, bounded, int(priority), scope, float(patience_s))


def _digest(what: bytes, name: str, secret: str) -> str:
    key = blake2b(secret.encode(), digest_size=_KEY_BYTES).digest()
    return blake2b(name.encode(), digest_size=_DIGEST_BYTES, key=key, person=what).hexdigest()
