from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from gateway.state.redis.scripts import (
    OPERATIONS,
    SCRIPTS,
    assembled,
    call,
    channel_of,
    command,
    read_texts,
    tag_of,
    tenant_of,
    with_text,
)
from tests.redis_servers import redis_server


def test_every_text_is_a_script_that_redis_compiles() -> None:
    server = redis_server()
    assert SCRIPTS._fields == OPERATIONS
    for script in SCRIPTS:
        assert server.ask("SCRIPT", "LOAD", script.text) == script.sha


def test_another_clock_makes_other_scripts() -> None:
    others = assembled(read_texts() | {"clock": "local now = 1\n"})
    assert all(one.sha != other.sha for one, other in zip(SCRIPTS, others, strict=True))
    assert others.reap.sha == hashlib.sha1(others.reap.text, usedforsecurity=False).hexdigest().encode()


@given(st.text())
def test_a_tag_has_no_braces_and_is_never_empty_and_tells_its_tenant(tenant: str) -> None:
    tag = tag_of(tenant)
    assert tag
    assert not set("{}") & set(tag)
    assert tenant_of(tag) == tenant


@pytest.mark.parametrize("tenant", ["a}b", "{", "}{x}", ""])
def test_a_tenant_cannot_choose_another_ones_slot(tenant: str) -> None:
    assert key_slot(f"n:1:{{{tag_of(tenant)}}}:leases".encode()) == key_slot(tag_of(tenant).encode())


def test_a_command_is_packed_as_redis_reads_it() -> None:
    assert command(b"GET", b"k\r\ney") == b"*2\r\n$3\r\nGET\r\n$5\r\nk\r\ney\r\n"


def test_a_forgotten_script_is_sent_with_its_text() -> None:
    packed = with_text(call(SCRIPTS.reap, [b"n:1:{t:x}:leases"], [b"30"]), SCRIPTS.reap)
    assert packed == command(b"EVAL", SCRIPTS.reap.text, b"1", b"n:1:{t:x}:leases", b"30")


def test_the_channel_is_what_the_scripts_publish_to() -> None:
    assert channel_of("pointsman") == "pointsman:1:freed"
