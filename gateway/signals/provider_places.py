"""Who is behind a deployment, in OpenTelemetry's words: the kind of provider its telemetry looks like, and where."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from gateway.prices.whose import provider_of
from gateway.signals.conventions import provider_name

if TYPE_CHECKING:
    from gateway.call import Call
    from policies.vocabulary import Deployment

_PORTS: Final = {"https": 443, "http": 80}
_BUNDLED: Final = "llama_cpp"


class Place(NamedTuple):
    """`address` and `port` None: nothing is known of it, or the model runs here (`is_here`)."""

    provider: str
    address: str | None = None
    port: int | None = None
    is_here: bool = False


def place_of(call: Call, deployment: Deployment) -> Place:
    """Where this call's attempt at a deployment went."""
    settings = None if call.generation is None else call.generation.config.providers.get(deployment.provider)
    return _place(deployment.kind, getattr(settings, "base_url", None), deployment.model)


@lru_cache(maxsize=1024)
def _place(kind: str, base_url: str | None, model: str) -> Place:
    # An unknown server that speaks OpenAI's format looks like OpenAI's; of litellm's the prefix tells more.
    known_as = kind if kind == _BUNDLED else provider_of(kind, base_url, model)
    name = provider_name(known_as or _prefix(kind, model))
    if base_url is None:
        return Place(name, is_here=kind == _BUNDLED)
    parts = urlsplit(base_url)
    return Place(name, parts.hostname, parts.port or _PORTS.get(parts.scheme))


def _prefix(kind: str, model: str) -> str:
    prefix, slash, _ = model.partition("/")
    return prefix if kind == "litellm" and slash else kind
