from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys.peppers import digests_of
from gateway.records.origins import ANYWHERE, DIGEST_CHARS, Origins, network_of, quoted_network, this_process
from tests.gateway.calls import answered

ORIGINS = Origins("host:1", 2, digests_of("pepper"))


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1234:5678::9", "2001:db8:1234::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", None),
        ("not an address", None),
        ('1.2.3.4", "x": "', None),
    ],
)
def test_an_address_is_told_as_its_network(peer: str, network: str | None) -> None:
    assert json.loads(quoted_network(peer)) == network
    finished = answered()
    finished.peer = lambda: peer
    assert network_of(finished) == network


@given(st.text())
def test_whatever_a_peer_calls_itself_its_network_is_json(peer: str) -> None:
    json.loads(quoted_network(peer))


def digest(members: dict[str, bytes], origins: Origins = ORIGINS) -> str | None:
    request = answered().request
    request.members = {name: msgspec.Raw(raw) for name, raw in members.items()}
    quoted = origins.quoted_end_user(request)
    assert json.loads(quoted) == origins.end_user(request)
    return origins.end_user(request)


def test_the_same_user_has_the_same_digest_however_it_is_spelled() -> None:
    told = digest({"user": b'"ada"'})
    assert told == digest({"user": b'"\\u0061da"'}) == digest({"safety_identifier": b'"ada"'})
    assert told is not None
    assert len(told) == DIGEST_CHARS
    assert told not in (digest({"user": b'"bob"'}), digest({"user": b'"ada"'}, ANYWHERE))


@pytest.mark.parametrize("raw", [b"null", b"7", b'""', b'["ada"]', b'{"a":1}'])
def test_what_is_no_name_has_no_digest(raw: bytes) -> None:
    assert digest({"user": raw}) is None
    assert digest({}) is None


@given(st.text(min_size=1))
def test_any_name_has_a_digest_that_does_not_show_it(name: str) -> None:
    told = digest({"user": json.dumps(name).encode()})
    assert told is not None
    assert int(told, 16) >= 0


def test_half_a_surrogate_pair_is_a_name_too() -> None:
    assert digest({"user": b'"\\ud800"'}) is not None


def test_a_process_is_named_by_its_host_and_number() -> None:
    host, _, number = this_process().rpartition(":")
    assert host
    assert number.isdigit()
