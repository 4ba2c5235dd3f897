"""The canonical request: OpenAI's JSON, parsed once, its unknown fields riding along untouched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import msgspec

    from policies.vocabulary import Endpoint


@dataclass(slots=True)
class InferenceRequest:
    """What a caller asked for.

    `members` are the top-level JSON members in order, each value as its raw bytes: the upstream's body is put together
    from them, so the gateway and the upstream cannot read two different things. `body_bytes` is the size as received.
    """

    endpoint: Endpoint
    model: str
    stream: bool
    include_usage: bool
    members: dict[str, msgspec.Raw]
    body_bytes: int
