from __future__ import annotations

import socket

import pytest

from gateway.config.quantities import Address
from gateway.errors import StartError
from gateway.supervisor.run import hold_port


def listening(port: int, *, shared: bool) -> socket.socket:
    made = socket.socket()
    try:
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", port))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def test_a_free_port_is_found_and_workers_can_share_it() -> None:
    with hold_port(Address("127.0.0.1", 0)) as port:
        with listening(port, shared=True), listening(port, shared=True):
            socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(OSError, match="in use"):
            listening(port, shared=False)


def test_a_port_that_another_gateway_shares_among_its_workers_is_taken() -> None:
    with listening(0, shared=True) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: "),
            hold_port(Address("127.0.0.1", port)),
        ):
            pytest.fail("two gateways would have split the calls between them")
