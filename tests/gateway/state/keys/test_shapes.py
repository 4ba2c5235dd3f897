from __future__ import annotations

from ipaddress import ip_network
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.keys.records import ContentWord, Invalid
from gateway.state.keys.shapes import MemberShape, NewKeyShape, accepted, check_timezone, limits_in, terms_of
from policies.route_rules import Content
from tests.gateway.state.key_stores import predicate

NEW: dict[str, Any] = {"name": "k", "org": "default", "env": "live"}


def networks(*texts: str) -> tuple[str, ...]:
    found = terms_of(NewKeyShape, NEW | {"networks": texts}, predicate)["networks"]
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_networks_are_kept_in_one_spelling(written: str, meant: str) -> None:
    assert networks(written) == (meant,)


@given(st.ip_addresses(), st.integers(0, 32))
def test_every_network_stays_what_it_is(address: Any, bits: int) -> None:
    network = ip_network(f"{address}/{bits}", strict=False)
    assert networks(str(network)) == (str(network),)


@given(st.text())
def test_any_text_is_a_network_or_refused(text: str) -> None:
    try:
        ip_network(text)
    except ValueError:
        with pytest.raises(Invalid, match=r"networks\[0\]"):
            networks(text)
    else:
        assert len(networks(text)) == 1


def test_a_resource_by_another_name_is_said_to_be_unknown() -> None:
    with pytest.raises(Invalid) as refused:
        accepted(NewKeyShape, NEW | {"limits": [{"token": "1/min"}]})
    assert str(refused.value) == "limits[0].token: is not known here"


@pytest.mark.parametrize(
    "values", [None, [], "name", {"org": "o"}, {"org": "o", "name": "n", "role": "admin"}, {"org": 3, "name": "n"}]
)
def test_what_has_another_shape_is_refused(values: object) -> None:
    with pytest.raises(Invalid) as refused:
        accepted(MemberShape, values)
    assert refused.value.message


def test_a_refusal_never_repeats_a_value() -> None:
    with pytest.raises(Invalid) as refused:
        terms_of(NewKeyShape, NEW | {"name": "a secret that was put here"}, predicate)
    assert "secret that" not in str(refused.value)


def test_a_single_limit_may_stand_without_its_list() -> None:
    assert terms_of(NewKeyShape, NEW | {"limits": {"requests": "60/min"}}, predicate)["limits"] == (
        {"requests": "60/min"},
    )


def test_limits_are_the_policy_files() -> None:
    requests, cost = limits_in(({"requests": "60/min", "cost": "2 USD/day", "when": "true"},), "k", predicate)
    assert (requests.amount, requests.window, requests.holder) == (60, 60.0, "k")
    assert cost.amount == 2 * 10**9
    assert requests.applies is not None


def test_levels_of_content_are_the_policy_files() -> None:
    assert get_args(ContentWord) == tuple(Content)
    kept = [terms_of(NewKeyShape, NEW | {"content": word}, predicate)["content"] for word in (None, *Content)]
    assert kept == [None, "none", "hash", "redacted", "full"]


def test_tags_are_named_once() -> None:
    assert terms_of(NewKeyShape, NEW | {"tags": ["a", "b", "a"]}, predicate)["tags"] == ("a", "b")


def test_a_time_zone_is_one_that_this_machine_knows() -> None:
    check_timezone("Asia/Tokyo")
    with pytest.raises(Invalid, match="timezone"):
        check_timezone("Tokyo")
