"""What a policy makes of keys that are not its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.config.residency import together
from policies.content import least
from policies.route_rules import NO_REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from policies.route_rules import Content, Requirements
    from policies.vocabulary import Principal


def _unsaid(_org: str, _team: str | None) -> None:
    """Nobody says anything."""


def _untrusted(_org: str, _team: str | None) -> bool:
    return False


class StoredRules(NamedTuple):
    """What a policy makes of keys that are not its own. `routes`: the names of the routes that a key means by a word;
    what no route has matches nothing. `requires`: what an org and a team of it require of whoever answers; `content`:
    how much they let be exported of what is said; `trusts_trace`: whether a team may say what its calls are part of.
    """

    routes: Mapping[str, frozenset[str]]
    requires: Callable[[str, str | None], Requirements]
    content: Callable[[str, str | None], Content | None] = _unsaid
    trusts_trace: Callable[[str, str | None], bool] = _untrusted

    def put_to(self, principal: Principal) -> Principal:
        """The same object where the policy has nothing to say."""
        owners = self.requires(principal.org, principal.team)
        content = self.content(principal.org, principal.team)
        is_trusted = self.trusts_trace(principal.org, principal.team)
        if principal.routes is None and owners == NO_REQUIREMENTS and content is None and not is_trusted:
            return principal
        routes = principal.routes
        if routes is not None:
            routes = frozenset(name for word in routes for name in self.routes.get(word, ()))
        return replace(
            principal,
            routes=routes,
            requires=together((owners, principal.requires)),
            content=least(content, principal.content),
            trusts_trace=is_trusted or principal.trusts_trace,
        )
