from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.owners import owner_of, owners_of
from policies.cache_rules import Sharing
from policies.vocabulary import Principal

ANN = Principal("k_ann", "ann", team="shop", user="ann", org="acme")
LONE = Principal("k_bob", "bob", org="acme")


@pytest.mark.parametrize(
    ("sharing", "owner", "lone"),
    [
        (Sharing.TEAM, "team:acme/shop", "key:acme/k_bob"),
        (Sharing.USER, "user:acme/ann", "key:acme/k_bob"),
        (Sharing.KEY, "key:acme/k_ann", "key:acme/k_bob"),
        (Sharing.ORG, "org:acme", "org:acme"),
        (Sharing.ALL, "all", "all"),
    ],
)
def test_the_owner_is_as_wide_as_the_route_says(sharing: Sharing, owner: str, lone: str) -> None:
    assert (owner_of(ANN, sharing), owner_of(LONE, sharing)) == (owner, lone)


def test_a_caller_is_a_part_of_each_owner_that_it_is_served_under() -> None:
    assert owners_of(ANN) == {"team:acme/shop", "user:acme/ann", "key:acme/k_ann", "org:acme", "all"}


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,9}", fullmatch=True)
ORGS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,9}", fullmatch=True)
PRINCIPALS = st.builds(
    Principal, key_id=NAMES, key_name=NAMES, team=st.none() | NAMES, user=st.none() | NAMES, org=ORGS
)


@given(PRINCIPALS, PRINCIPALS, st.sampled_from([Sharing.TEAM, Sharing.USER, Sharing.KEY]))
def test_two_callers_have_one_owner_only_where_they_have_something_in_common(
    one: Principal, other: Principal, sharing: Sharing
) -> None:
    if owner_of(one, sharing) == owner_of(other, sharing):
        named = {Sharing.TEAM: (one.team, other.team), Sharing.USER: (one.user, other.user)}.get(sharing, (None, None))
        same = (one.key_id, other.key_id) if named[0] is None else named
        assert (one.org, same[0]) == (other.org, same[1])
