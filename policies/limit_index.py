"""Which limits a call or an attempt comes under, and whose account each is counted on.

Made once per policy; for each key and route the answer is then remembered, so that a call costs one look-up. Whether a
limit's `applies` holds is for the caller to ask: it depends on the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.vocabulary import LimitScope, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from policies.vocabulary import Deployment, Limit, Principal, Route

Bound = tuple["Limit", str]
"""A limit and its holder's name."""

REMEMBERED_MAX: Final = 10_000
SPANNING: Final = frozenset({LimitScope.DEPLOYMENT, LimitScope.PROVIDER})
"""Scopes that span tenants: taken per attempt."""


class LimitIndex:
    """The limits of one policy. Those of a key itself come with its principal."""

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        everyone = tuple(limits)
        self._of_calls = tuple(limit for limit in everyone if limit.scope not in SPANNING)
        self._of_attempts = tuple(limit for limit in everyone if limit.scope in SPANNING)
        self.has_spanning_budget = any(limit.resource is Resource.COST for limit in self._of_attempts)
        # By names, which are quick to hash. A name may come to mean a principal who was changed since: see `of_call`.
        self._known: dict[tuple[str, str], tuple[Principal, tuple[Bound, ...]]] = {}
        self._known_deployments: dict[str, tuple[Bound, ...]] = {}

    @property
    def limits(self) -> tuple[Limit, ...]:
        return (*self._of_calls, *self._of_attempts)

    def of_call(self, principal: Principal, route: Route) -> tuple[Bound, ...]:
        """The limits over this principal's calls to this route, the key's own last.

        A limit whose holder the principal lacks (a team's, for a key without one) does not apply.
        """
        if not self._of_calls and not principal.limits:
            return ()
        found = self._known.get((principal.key_id, route.name))
        if found is None or found[0] is not principal:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            found = principal, self._find(principal, route)
            self._known[principal.key_id, route.name] = found
        return found[1]

    def of_deployment(self, deployment: Deployment) -> tuple[Bound, ...]:
        """The limits over all calls to this deployment, whoever makes them."""
        if not self._of_attempts:
            return ()
        found = self._known_deployments.get(deployment.name)
        if found is None:
            holders: dict[LimitScope, str | None] = {
                LimitScope.DEPLOYMENT: deployment.name,
                LimitScope.PROVIDER: deployment.provider,
            }
            found = tuple(_bound(self._of_attempts, holders))
            self._known_deployments[deployment.name] = found
        return found

    def _find(self, principal: Principal, route: Route) -> tuple[Bound, ...]:
        holders = {
            LimitScope.KEY: principal.key_name,  # not its id, which a new secret changes
            LimitScope.USER: principal.user,
            LimitScope.TEAM: principal.team,
            LimitScope.ORG: principal.org,
            LimitScope.ROUTE: route.name,
        }
        return tuple(_bound((*self._of_calls, *principal.limits), holders))


def _bound(limits: Iterable[Limit], holders: Mapping[LimitScope, str | None]) -> Iterator[Bound]:
    for limit in limits:
        holder = holders.get(limit.scope)
        if holder is not None and limit.holder in (None, holder):
            yield limit, holder
