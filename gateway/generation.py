"""One generation of the policy: everything a reload replaces, swapped whole and pinned by each call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Config
    from gateway.upstream import Upstream
    from gateway.virtual_keys import KeyRing
    from policies.matching import RouteIndex


@dataclass(frozen=True, slots=True)
class Generation:
    """`keys` None means that no key is configured and anyone may call. `upstreams` is keyed by deployment name."""

    number: int
    config: Config
    digest: str
    keys: KeyRing | None
    index: RouteIndex
    upstreams: Mapping[str, Upstream]
    max_body_bytes: int
