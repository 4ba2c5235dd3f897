"""Lanes: a deployment of its own for each trial, so that no breaker remembers another, and the policy of all lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

UPSTREAM_KEY = "sk-upstream-canary-0123456789"


@dataclass(frozen=True)
class Lane:
    """One deployment, `name`, its fallback, `spare`, and the two routes to it."""

    name: str
    spare: str
    alone: str
    backed: str


def lane_of(name: str) -> Lane:
    return Lane(f"d-{name}", f"f-{name}", f"alone-{name}", f"backed-{name}")


def policy_of(lanes: list[Lane], urls: Mapping[str, str], route: dict[str, Any]) -> dict[str, Any]:
    """Each lane's deployment is of the provider of its name. Where `urls` has none it lives at `far`'s: a provider of
    its own all the same, since deployments that share a credential are set aside together when that is refused.
    """
    deployments, routes, urls = {}, [], dict(urls)
    for lane in lanes:
        price = {"input": 1, "output": 2}
        provider = lane.name.removeprefix("d-")
        urls.setdefault(provider, urls["far"])
        deployments[lane.name] = {"provider": provider, "model": lane.name, "price": price}
        deployments[lane.spare] = {"provider": "near", "model": lane.spare, "price": price}
        routes.append({"model": lane.alone, "targets": [lane.name], **route})
        routes.append({"model": lane.backed, "targets": [lane.name], "fallbacks": [lane.spare], **route})
    return {
        "providers": {
            name: {"kind": "openai", "base_url": f"{url}/v1", "api_key": UPSTREAM_KEY} for name, url in urls.items()
        },
        "deployments": deployments,
        "routes": routes,
    }
