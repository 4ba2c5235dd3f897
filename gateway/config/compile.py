"""The policy file in the policies' vocabulary: deployments, routes, limits, and the keys that callers hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Final, Protocol

from gateway.config.limits import OwnLimits, limits_for_all, limits_of_owner
from gateway.config.owners import DEFAULT_ORG, time_zone
from gateway.keys.virtual_keys import HeldKey
from policies.vocabulary import (
    Deployment,
    Endpoint,
    LimitScope,
    OnDisconnect,
    Price,
    QueueRules,
    Route,
    Strategy,
    Target,
    Timeouts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

    from gateway.config.model import Config
    from gateway.config.owners import KeySettings
    from gateway.config.providers import ProviderSettings
    from gateway.config.routing import DeploymentSettings, PriceSettings, RouteSettings
    from policies.vocabulary import Limit, Predicate, Principal

PriceOf = Callable[[str, str | None, str], Price | None]
"""Provider kind, base URL (None: the kind's own address) and model to the price that a table has, or None."""


class HasLimits(Protocol):
    """Settings of something that may own limits."""

    @property
    def limits(self) -> tuple[OwnLimits, ...]: ...


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
    return tuple(_held(config, key, route_of) for key in config.keys)


def limits_of(config: Config) -> tuple[Limit, ...]:
    """Every limit of the file but those of keys, which come with their principals."""
    return (*limits_for_all(config.limits, _predicate), *_limits_of_owners(config))


def zone_of(config: Config) -> Callable[[str], tzinfo]:
    """The time zone of an org by its name; UTC for one that the file does not tell of."""
    zones = {name: time_zone(org.timezone) for name, org in config.orgs.items()}
    return lambda org: zones.get(org, UTC)


def weight_of(config: Config) -> Callable[[Principal], float]:
    """A principal's share of a queue against the others': its org's weight times its team's."""
    orgs = {name: org.weight for name, org in config.orgs.items()}
    teams = {name: team.weight for name, team in config.teams.items()}
    return lambda who: float(orgs.get(who.org, 1) * teams.get(who.team or "", 1))


def has_budget(config: Config) -> bool:
    """Whether anything in the file limits money: then an unknown price and a full ledger are refused by default."""
    own = (entry for _, _, entries in _owners(config) for entry in entries)
    entries = (*config.limits, *own, *(entry for key in config.keys for entry in key.limits))
    return any(entry.cost is not None for entry in entries)


def _predicate(when: str) -> Predicate:
    from gateway.config.cel import condition_for_limit  # noqa: PLC0415 - only a policy with a `when` needs CEL

    return condition_for_limit(when)


def _owners(config: Config) -> Iterator[tuple[LimitScope, str, tuple[OwnLimits, ...]]]:
    tables: tuple[tuple[LimitScope, Mapping[str, HasLimits]], ...] = (
        (LimitScope.ORG, config.orgs),
        (LimitScope.TEAM, config.teams),
        (LimitScope.USER, config.users),
        (LimitScope.ROUTE, {route.model[0]: route for route in config.routes}),
        (LimitScope.DEPLOYMENT, config.deployments),
        (LimitScope.PROVIDER, config.providers),
    )
    for scope, table in tables:
        for name, settings in table.items():
            yield scope, name, settings.limits


def _limits_of_owners(config: Config) -> Iterator[Limit]:
    for scope, name, entries in _owners(config):
        yield from limits_of_owner(entries, scope, name, _predicate)


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
        output_tokens_default=route.max_output_tokens,
        queue=None if route.queue is None else QueueRules(route.queue.max_wait_s, route.queue.max_size),
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
        output_tokens_default=settings.max_output_tokens,
        on_disconnect=OnDisconnect(settings.on_disconnect),
    )


def _stated_price(name: str, price: PriceSettings) -> Price:
    """The operator's own price. Its id holds the rates, so that a ledger row outlives a change of the file."""
    rates = (price.input_nanousd, price.cached_input_nanousd, price.cache_write_nanousd, price.output_nanousd)
    written = ",".join("-" if rate is None else str(rate) for rate in rates)
    return Price(f"override/{name}@{written}", "override", "", *rates)


def _held(config: Config, key: KeySettings, route_of: dict[str, str]) -> HeldKey:
    return HeldKey(
        secret=key.secret,
        name=key.name,
        team=key.team,
        user=key.user,
        routes=None if key.routes is None else frozenset(route_of[name] for name in key.routes),
        expires_s=None if key.expires is None else key.expires.timestamp(),
        org=_org_of(config, key),
        tags=key.tags,
        limits=tuple(limits_of_owner(key.limits, LimitScope.KEY, key.name, _predicate)),
        output_tokens_default=key.max_output_tokens,
    )


def _org_of(config: Config, key: KeySettings) -> str:
    """What the key says, else its team's org, else its user's."""
    if key.org is not None:
        return key.org
    owner = config.teams.get(key.team or "") or config.users.get(key.user or "")
    return DEFAULT_ORG if owner is None else owner.org
