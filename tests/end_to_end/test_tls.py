"""HTTPS from the gateway itself."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.gateway_process import gateway_process, one_route

if TYPE_CHECKING:
    from pathlib import Path


async def test_callers_are_served_over_tls_and_plain_text_is_not_understood(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    policy = one_route("http://127.0.0.1:9/v1")
    policy["server"] = {"tls": {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}}
    ask = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    async with gateway_process(policy, tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=trusting)
        writer.write(ask)
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        try:
            answer = await gateway.ask(ask)
        except ConnectionError:
            answer = b""
        assert b"HTTP/1.1" not in answer


async def test_a_missing_certificate_is_said_before_anything_listens(tmp_path: Path) -> None:
    policy = one_route("http://127.0.0.1:9/v1")
    policy["server"] = {"tls": {"cert": str(tmp_path / "no.pem"), "key": str(tmp_path / "no.key")}}
    with pytest.raises(AssertionError, match="did not start"):
        async with gateway_process(policy, tmp_path):
            pass
