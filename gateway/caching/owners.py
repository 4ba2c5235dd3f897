"""Whose answers are whose: the owner that a caller's answers belong to, and all that one caller may be a part of.

Orgs have no colon and no slash in their names, so that no two owners are written the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policies.cache_rules import Sharing

if TYPE_CHECKING:
    from policies.vocabulary import Principal

EVERYBODY: Final = "all"


def owner_of(principal: Principal, sharing: Sharing) -> str:
    """Who shares this caller's answers. A key without the team or user that is asked for shares with nobody."""
    org = principal.org
    if sharing is Sharing.TEAM and principal.team is not None:
        return f"team:{org}/{principal.team}"
    if sharing is Sharing.USER and principal.user is not None:
        return f"user:{org}/{principal.user}"
    if sharing is Sharing.ORG:
        return f"org:{org}"
    return EVERYBODY if sharing is Sharing.ALL else f"key:{org}/{principal.key_id}"


def owners_of(principal: Principal) -> frozenset[str]:
    """All that may own what this caller is served with."""
    return frozenset(owner_of(principal, sharing) for sharing in Sharing)
