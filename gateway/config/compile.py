"""The policy file in the policies' vocabulary: routes with their deployments, and the keys that callers hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.virtual_keys import HeldKey
from policies.vocabulary import Deployment, Endpoint, Price, Route, Strategy, Target, Timeouts

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.config.providers import ProviderSettings
    from gateway.config.routing import DeploymentSettings, KeySettings, PriceSettings, RouteSettings

PriceOf = Callable[[str, str | None, str], Price | None]
"""Provider kind, base URL (None: the kind's own address) and model to the price that a table has, or None."""

ENDPOINTS: Final = {
    "openai": frozenset(Endpoint),
    "llama_cpp": frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS}),
    "litellm": frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS}),
}


def routing(config: Config, known: dict[str, Deployment]) -> tuple[Route, ...]:
    """The routes in the order of the file, over the `deployments` of the same file."""
    return tuple(_route(route, known) for route in config.routes)


def deployments(config: Config, price_of: PriceOf) -> dict[str, Deployment]:
    """Every deployment by name, used by a route or not."""
    return {
        name: _deployment(name, settings, config.providers[settings.provider], price_of)
        for name, settings in config.deployments.items()
    }


def held_keys(config: Config) -> tuple[HeldKey, ...]:
    """The virtual keys of the file, their routes by name."""
    route_of = {model: route.model[0] for route in reversed(config.routes) for model in route.model}
    return tuple(_held(key, route_of) for key in config.keys)


def _route(route: RouteSettings, known: dict[str, Deployment]) -> Route:
    times = route.timeouts
    return Route(
        name=route.model[0],
        models=route.model,
        strategy=Strategy(route.strategy),
        targets=tuple(Target(known[target.deployment], target.weight) for target in route.targets),
        fallbacks=tuple(known[name] for name in route.fallbacks),
        retry_attempts=route.retry.attempts,
        timeouts=Timeouts(times.connect_s, times.first_token_s, times.idle_s, times.total_s, times.write_s),
    )


def _deployment(name: str, settings: DeploymentSettings, provider: ProviderSettings, price_of: PriceOf) -> Deployment:
    model = settings.model or name
    if settings.price is not None:
        price: Price | None = _stated_price(name, settings.price)
    else:
        price = price_of(provider.kind, None if provider.kind == "llama_cpp" else provider.base_url, model)
    return Deployment(
        name=name,
        provider=settings.provider,
        kind=provider.kind,
        model=model,
        endpoints=ENDPOINTS[provider.kind],
        region=settings.region,
        context_tokens=settings.context_tokens,
        price=price,
    )


def _stated_price(name: str, price: PriceSettings) -> Price:
    """The operator's own price. Its id holds the rates, so that a ledger row outlives a change of the file."""
    rates = (price.input_nanousd, price.cached_input_nanousd, price.cache_write_nanousd, price.output_nanousd)
    written = ",".join("-" if rate is None else str(rate) for rate in rates)
    return Price(f"override/{name}@{written}", "override", "", *rates)


def _held(key: KeySettings, route_of: dict[str, str]) -> HeldKey:
    return HeldKey(
        secret=key.secret,
        name=key.name,
        team=key.team,
        user=key.user,
        routes=None if key.routes is None else frozenset(route_of[name] for name in key.routes),
        expires_s=None if key.expires is None else key.expires.timestamp(),
    )
