"""The policy file in the policies' vocabulary: deployments, routes, limits, and the keys that callers hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.config.compile_prices import as_billed, assumed_price, charged, stated_price
from gateway.config.compile_routes import called
from gateway.config.limits import OwnLimits, limits_for_all, limits_of_owner
from gateway.config.llama_cpp import LlamaCppProvider
from gateway.config.model_task import endpoints_of
from gateway.config.owners import DEFAULT_ORG, time_zone
from gateway.config.providers import OpenAIProvider
from gateway.config.residency import requirements, together
from gateway.config.route_names import route_names, routes_by_word
from gateway.keys.virtual_keys import HeldKey
from policies.content import least
from policies.hardware_cost import Hardware
from policies.route_rules import (
    DEFAULT_BREAKER,
    NO_REQUIREMENTS,
    HealthRules,
    Priority,
    Requirements,
)
from policies.tariffs import Price
from policies.vocabulary import Deployment, Endpoint, LimitScope, OnDisconnect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

    from gateway.config.failover import HealthSettings, OwnBreaker
    from gateway.config.model import Config
    from gateway.config.model_facts import FactsOf
    from gateway.config.owners import KeySettings
    from gateway.config.providers import ProviderSettings
    from gateway.config.routing import DeploymentSettings
    from policies.route_rules import BreakerSettings, Content
    from policies.vocabulary import Limit, Predicate, Principal

Where = tuple[str, str | None, str]
PriceOf = Callable[[str, str | None, str], Price | None]
"""Provider kind, base URL (None: the kind's own address) and model to the price that a table has, or None."""


class HasLimits(Protocol):
    """Settings of something that may own limits."""

    @property
    def limits(self) -> tuple[OwnLimits, ...]: ...


ENDPOINTS: Final = {
    "openai": frozenset(Endpoint),
    "litellm": frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS}),
}


def deployments(
    config: Config, price_of: PriceOf, facts_of: FactsOf | None = None, now_s: float | None = None
) -> dict[str, Deployment]:
    """Every deployment by id, used by a route or not: one for each credential of its provider.

    `facts_of` None: nothing is known of a model but what the file says. Prices are those in force at `now_s`, with
    those to come behind them.
    """
    local = {name: one for name, one in config.providers.items() if isinstance(one, LlamaCppProvider)}
    assumed = None if config.prices.price_as is None else assumed_price(config.prices.price_as)
    endpoints = {name: endpoints_of(one) for name, one in local.items()}
    known = _Known(price_of, facts_of, endpoints, assumed, time.time() if now_s is None else now_s)
    found = (
        deployment
        for name, settings in config.deployments.items()
        for deployment in _side_by_side(name, settings, config.providers[settings.provider], known)
    )
    return {deployment.id: deployment for deployment in found}


def held_keys(config: Config) -> tuple[HeldKey, ...]:
    """The virtual keys of the file, their routes by name."""
    routes, requires = route_words(config), requires_of(config)
    return tuple(_held(config, key, routes, requires) for key in config.keys)


def route_words(config: Config) -> Mapping[str, frozenset[str]]:
    """The names of the routes that a key means by a word."""
    return routes_by_word(called(config))


def requires_of(config: Config) -> Callable[[str, str | None], Requirements]:
    """What an org and a team, by their names, require of whoever answers their calls."""
    orgs = {name: requirements(org.require) for name, org in config.orgs.items()}
    teams = {(team.org, name): requirements(team.require) for name, team in config.teams.items()}
    none = NO_REQUIREMENTS
    return lambda org, team: together((orgs.get(org, none), teams.get((org, team or ""), none)))


def trusts_trace_of(config: Config) -> Callable[[str, str | None], bool]:
    """Whether a team, by its org's name and its own, is trusted to say which trace its calls are part of."""
    trusted = {(team.org, name) for name, team in config.teams.items() if team.trust_trace_context}
    return lambda org, team: (org, team) in trusted


def content_of(config: Config) -> Callable[[str, str | None], Content | None]:
    """How much an org and a team, by their names, let be exported of what is said; None where neither says."""
    orgs = {name: org.content for name, org in config.orgs.items()}
    teams = {(team.org, name): team.content for name, team in config.teams.items()}
    return lambda org, team: least(orgs.get(org), teams.get((org, team or "")))


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

    return condition_for_limit(when, headers=None)  # those that it reads were checked when the file was read


def _owners(config: Config) -> Iterator[tuple[LimitScope, str, tuple[OwnLimits, ...]]]:
    tables: tuple[tuple[LimitScope, Mapping[str, HasLimits]], ...] = (
        (LimitScope.ORG, config.orgs),
        (LimitScope.TEAM, config.teams),
        (LimitScope.USER, config.users),
        (LimitScope.ROUTE, dict(zip(route_names(called(config)), config.routes, strict=True))),
        (LimitScope.DEPLOYMENT, config.deployments),
        (LimitScope.PROVIDER, config.providers),
    )
    for scope, table in tables:
        for name, settings in table.items():
            yield scope, name, settings.limits


def _limits_of_owners(config: Config) -> Iterator[Limit]:
    for scope, name, entries in _owners(config):
        yield from limits_of_owner(entries, scope, name, _predicate)


class _Known(NamedTuple):
    """What tables tell of models, and their own files of those that run here, by provider."""

    price_of: PriceOf
    facts_of: FactsOf | None
    endpoints: Mapping[str, frozenset[Endpoint]]
    assumed: Price | None
    now_s: float


def _side_by_side(
    name: str, settings: DeploymentSettings, provider: ProviderSettings, known: _Known
) -> Iterator[Deployment]:
    deployment = _deployment(name, settings, provider, known)
    held = None if isinstance(provider, LlamaCppProvider) else provider.api_keys
    if held is None:
        yield deployment
    for one in held or ():
        yield replace(deployment, credential=one.name, credential_weight=one.weight)


def _deployment(name: str, settings: DeploymentSettings, provider: ProviderSettings, known: _Known) -> Deployment:
    """What the file says of a model goes before what tables tell of it."""
    where = (provider.kind, None if provider.kind == "llama_cpp" else provider.base_url, settings.model or name)
    has, lacks = frozenset(settings.supports), frozenset(settings.lacks)
    engine_tokens = provider.context_tokens if isinstance(provider, LlamaCppProvider) else 0
    context_tokens = settings.context_tokens or engine_tokens or None
    if known.facts_of is not None:
        facts = known.facts_of(*where)
        has, lacks = has | (facts.has - lacks), lacks | (facts.lacks - has)
        context_tokens = context_tokens or facts.context_tokens
    price = _price(name, settings, provider, where, known)
    return Deployment(
        name=name,
        provider=settings.provider,
        kind=provider.kind,
        model=settings.model or name,
        endpoints=known.endpoints.get(settings.provider) or ENDPOINTS.get(provider.kind, frozenset()),
        region=settings.region,
        context_tokens=context_tokens,
        price=price,
        billed_price=None if price is not None else as_billed(provider, settings),
        output_tokens_default=settings.max_output_tokens,
        on_disconnect=OnDisconnect(settings.on_disconnect),
        has=has,
        lacks=lacks,
        data_classes=frozenset(settings.data_classes),
        takes_trace=provider.trace,
        breaker=_breaker(provider.breaker, settings.breaker),
        health=_health(settings.health or (provider.health if isinstance(provider, OpenAIProvider) else None)),
        hardware=_hardware(name, settings, provider),
    )


def _price(
    name: str, settings: DeploymentSettings, provider: ProviderSettings, where: Where, known: _Known
) -> Price | None:
    """What the operator says that it costs, else what its hardware does, else what tables say, else the stand-in; with
    what is taken off and put on.
    """
    gpu = settings.gpu or (provider.gpu if isinstance(provider, LlamaCppProvider) else None)
    price = None if gpu is None else gpu.price(name)
    if settings.price is not None:
        price = stated_price(name, settings.price, known.now_s)
    price = price or known.price_of(*where) or known.assumed
    return None if price is None else charged(price, provider, settings)


def _hardware(name: str, settings: DeploymentSettings, provider: ProviderSettings) -> Hardware | None:
    """What is stated of a provider is shared by its deployments; our own engine is measured in any case."""
    if settings.gpu is not None:
        return settings.gpu.hardware(f"deployment {name}", is_engine=False)
    if not isinstance(provider, LlamaCppProvider):
        return None
    is_engine, shared = not provider.is_elsewhere, f"provider {settings.provider}"
    if provider.gpu is not None:
        return provider.gpu.hardware(shared, is_engine=is_engine)
    return Hardware(shared, is_engine=True) if is_engine else None


def _breaker(provider: OwnBreaker | None, own: OwnBreaker | None) -> BreakerSettings:
    """What the deployment says goes before what its provider says."""
    settings = DEFAULT_BREAKER
    for stated in filter(None, (provider, own)):
        settings = replace(settings, **stated.model_dump(exclude_none=True))
    # Whoever states a first cooldown that is longer than the usual longest has said what the longest is, at least.
    return replace(settings, cooldown_max_s=max(settings.cooldown_max_s, settings.cooldown_s))


def _health(stated: HealthSettings | None) -> HealthRules | None:
    return None if stated is None else HealthRules(stated.interval_s, stated.timeout_s, stated.path, stated.always)


def _held(
    config: Config,
    key: KeySettings,
    routes: Mapping[str, frozenset[str]],
    requires: Callable[[str, str | None], Requirements],
) -> HeldKey:
    org = _org_of(config, key)
    return HeldKey(
        secret=key.secret,
        name=key.name,
        team=key.team,
        user=key.user,
        routes=None if key.routes is None else frozenset[str]().union(*(routes[word] for word in key.routes)),
        expires_s=None if key.expires is None else key.expires.timestamp(),
        org=org,
        tags=key.tags,
        limits=tuple(limits_of_owner(key.limits, LimitScope.KEY, key.name, _predicate)),
        output_tokens_default=key.max_output_tokens,
        requires=together((requires(org, key.team), requirements(key.require))),
        priority=Priority[key.priority.upper()],
        vouches=key.vouches,
        uses_cache=key.cache,
        trusts_trace=key.trust_trace_context or trusts_trace_of(config)(org, key.team),
        content=least(content_of(config)(org, key.team), key.content),
        cost_in_body=key.cost_in_body,
    )


def _org_of(config: Config, key: KeySettings) -> str:
    """What the key says, else its team's org, else its user's."""
    if key.org is not None:
        return key.org
    owner = config.teams.get(key.team or "") or config.users.get(key.user or "")
    return DEFAULT_ORG if owner is None else owner.org
