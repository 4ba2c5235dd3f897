from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.state.limits.store import StoreUnavailable
from gateway.state.redis.dialing import Dialer, asked, warn_of_eviction
from gateway.state.redis.scripts import command
from gateway.state.redis.url import parse
from tests.redis_servers import free_port, own_server, redis_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["url", "unix_url"])
async def test_a_connection_is_ready_when_its_first_commands_are_answered(kind: str) -> None:
    dialer = Dialer(parse(getattr(redis_server(), kind)), 5.0)
    connection = await dialer.dial(None, [command(b"CLIENT", b"SETNAME", b"dialled")])
    assert await asked(connection, b"CLIENT", b"GETNAME") == b"dialled"
    await connection.disconnect()


async def test_a_first_command_that_fails_is_no_connection() -> None:
    dialer = Dialer(parse(redis_server().url), 5.0)
    with pytest.raises(StoreUnavailable, match="unknown command"):
        await dialer.dial(None, [command(b"NONSENSE")])


async def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with own_server() as server, server.stopped(), pytest.raises(StoreUnavailable, match="does not answer"):
        await Dialer(parse(server.url), 0.05).dial(None, [command(b"PING")])


async def test_a_password_is_used_and_a_wrong_one_is_not_repeated() -> None:
    with own_server() as server:
        server.ask("CONFIG", "SET", "requirepass", "hunter2")
        address = f"127.0.0.1:{server.port}"
        connection = await Dialer(parse(f"redis://:hunter2@{address}"), 5.0).dial(None)
        assert await asked(connection, b"PING") == b"PONG"
        await connection.disconnect()
        with pytest.raises(StoreUnavailable) as refused:
            await Dialer(parse(f"redis://:wrong-one@{address}"), 5.0).dial(None)
        assert "wrong-one" not in str(refused.value)


async def test_tls_is_checked(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    port = free_port()
    file = tmp_path / "server.pem"
    options = (f"tls-port {port}", f"tls-cert-file {file}", f"tls-key-file {file}", "tls-auth-clients no")
    with own_server(*options, f"tls-ca-cert-file {tmp_path / 'ca.pem'}"):
        url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}"
        connection = await Dialer(parse(f"{url}/ca.pem"), 5.0).dial(None)
        assert await asked(connection, b"PING") == b"PONG"
        await connection.disconnect()
        with pytest.raises(StoreUnavailable) as refused:
            await Dialer(parse(f"{url}/stranger.pem"), 5.0).dial(None)
    assert "certificate" in str(refused.value).lower()


@pytest.mark.parametrize(
    ("policy", "memory", "evicts"),
    [("noeviction", "100mb", False), ("volatile-ttl", "100mb", True), ("allkeys-lru", "0", False)],
)
async def test_eviction_is_found_where_there_is_a_bound(policy: str, memory: str, *, evicts: bool) -> None:
    with own_server(f"maxmemory {memory}", f"maxmemory-policy {policy}") as server:
        connection = await Dialer(parse(server.url), 5.0).dial(None)
        assert await warn_of_eviction(connection) is evicts
        await connection.disconnect()
