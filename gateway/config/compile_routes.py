"""Routes in the policies' vocabulary: what a name in a route stands for, and what its settings come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.residency import requirements
from gateway.config.route_names import Called, named_routes, route_names
from policies.route_rules import (
    AT_FIRST_TOKEN,
    Affinity,
    AffinityBy,
    CommitRules,
    HedgeRules,
    QueueRules,
    Resume,
    SpillRules,
)
from policies.vocabulary import Route, Strategy, Target, Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.config.failover import CommitSettings
    from gateway.config.model import Config
    from gateway.config.routing import Destination, RouteSettings
    from policies.vocabulary import Deployment, Predicate
    from policies.vocabulary import Destination as Meant

USUAL: Final = Timeouts()


def called(config: Config) -> tuple[Called, ...]:
    """What the routes say of their names, in the order of the file."""
    return tuple(Called(route.name, route.model) for route in config.routes)


def routing(config: Config, known: Mapping[str, Deployment]) -> tuple[Route, ...]:
    """The routes in the order of the file, over the deployments of the same file by id."""
    return _Routing(config, known).routes()


def _predicate(when: str) -> Predicate:
    from gateway.config.cel import condition_for_route  # noqa: PLC0415 - only a policy with a `when` needs CEL

    return condition_for_route(when, headers=None)  # those that it reads were checked when the file was read


class _Routing:
    """Makes each route once, those that it names before it. That none names itself is checked when the file is read."""

    def __init__(self, config: Config, known: Mapping[str, Deployment]) -> None:
        self._settings = config.routes
        self._called = called(config)
        self._names = route_names(self._called)
        self._made: dict[int, Route] = {}
        self._side_by_side: dict[str, list[Deployment]] = {}
        for deployment in known.values():
            self._side_by_side.setdefault(deployment.name, []).append(deployment)

    def routes(self) -> tuple[Route, ...]:
        return tuple(self._route(index) for index in range(len(self._settings)))

    def _route(self, index: int) -> Route:
        if index not in self._made:
            self._made[index] = self._make(self._settings[index], self._names[index])
        return self._made[index]

    def _meant(self, named: Destination) -> tuple[Meant, ...]:
        """What a name stands for: a deployment with each of its credentials, or a route."""
        if named.deployment in self._side_by_side:
            return tuple(self._side_by_side[named.deployment])
        (index,) = named_routes(self._called, named.route or named.deployment or "")
        return (self._route(index),)

    def _all_of(self, names: Iterable[Destination]) -> tuple[Meant, ...]:
        return tuple(meant for named in names for meant in self._meant(named))

    def _targets(self, route: RouteSettings) -> Iterator[Target]:
        for target in route.targets:
            yield from (Target(meant, target.weight) for meant in self._meant(target))

    def _make(self, route: RouteSettings, name: str) -> Route:
        times = route.timeouts
        first_token_s = USUAL.first_token_s if times.first_token_s is None else times.first_token_s
        return Route(
            name=name,
            models=route.model,
            strategy=Strategy(route.strategy),
            targets=tuple(self._targets(route)),
            fallbacks=self._all_of(route.fallbacks),
            retry_attempts=route.retry.attempts,
            timeouts=Timeouts(times.connect_s, first_token_s, times.idle_s, times.total_s, times.write_s),
            output_tokens_default=route.max_output_tokens,
            queue=None if route.queue is None else QueueRules(route.queue.max_wait_s, route.queue.max_size),
            when=None if route.when is None else _predicate(route.when),
            context_fallbacks=self._all_of(route.context_fallbacks),
            content_fallbacks=self._all_of(route.content_fallbacks),
            requires=requirements(route.require),
            retry_wait_max_s=route.retry.max_wait_s,
            learns_first_token=times.first_token_s is None,
            affinity=_affinity(route),
            spill=None if route.spill is None else SpillRules(route.spill.max_wait_s, route.spill.max_cost_nanousd),
            hedge=None if route.hedge is None else HedgeRules(route.hedge.share_max, route.hedge.after_s),
            commit=_commit(route.commit),
            resume=tuple(Resume(way) for way in route.resume or ()),
            cache=None if route.cache is None else route.cache.rules(),
            cost_in_body=route.cost_in_body,
        )


def _affinity(route: RouteSettings) -> Affinity | None:
    """What the route says, else, for a sticky one, the beginning of the conversation: what caches of prompts go by."""
    return Affinity(AffinityBy.PREFIX) if route.by is None and route.strategy == "sticky" else route.by


def _commit(stated: CommitSettings | None) -> CommitRules:
    if stated is None:
        return AT_FIRST_TOKEN
    return CommitRules(tokens=stated.tokens or 1, hold_s=(stated.ms or 0) / 1000)
