from __future__ import annotations

import asyncio
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.transport import Origin, Pool, TransportError, tls_context
from policies.vocabulary import FailureKind, Timeouts
from tests.gateway.transport.conftest import Ask, until
from tests.scripted_upstream import ScriptedUpstream, answer, deaf, request, send, serve, stall

if TYPE_CHECKING:
    from pathlib import Path

PARSED = {
    "http://127.0.0.1:8000": ("127.0.0.1:8000", "/chat"),
    "http://127.0.0.1:80/": ("127.0.0.1", "/chat"),
    "https://api.example.com/v1": ("api.example.com", "/v1/chat"),
    "https://api.example.com:443/v1/": ("api.example.com", "/v1/chat"),
    "https://api.example.com:80/v1": ("api.example.com:80", "/v1/chat"),
    "http://[::1]:8080/v1": ("[::1]:8080", "/v1/chat"),
    "https://Straße.example/v1": ("strasse.example", "/v1/chat"),
    "https://x.example/openai?api-version=1": ("x.example", "/openai/chat?api-version=1"),
}


@pytest.mark.parametrize(("base_url", "parts"), PARSED.items())
def test_a_base_url_gives_authority_and_targets(base_url: str, parts: tuple[str, str]) -> None:
    origin = Origin.parse(base_url)
    assert (origin.authority, origin.target("/chat")) == parts


def test_queries_are_joined() -> None:
    assert Origin.parse("http://x/a?b=1").target("/c?d=2") == "/a/c?d=2&b=1"


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.example.com",
        "ftp://example.com",
        "http://",
        "http:///v1",
        "http://user:secret@example.com",
        "http://secret@example.com",
        "http://example.com/#x",
        "http://exa mple.com",
        "http://example.com/a b",
        "http://example.com/ä",
        "http://example.com:99999",
        "http://example.com:port",
    ],
)
def test_a_base_url_that_makes_no_sense_is_refused_without_repeating_it(base_url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - checked below
        Origin.parse(base_url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["", "chat", "/a b", "/a\r\nx: y", "/ä", "http://other/"])
def test_no_path_breaks_out_of_the_request_line(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        Origin.parse("http://x").target(path)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = [
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(folder / "key"),
        "-out",
        str(folder / "cert"),
    ]
    subprocess.run(["openssl", *arguments, *names], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_requests_go_over_tls_and_reuse_it(certificate: Path) -> None:
    async with ScriptedUpstream(tls=serving(certificate)) as upstream:
        pool = Pool(upstream.url, tls=tls_context(str(certificate)))
        upstream.otherwise(serve(answer(b"secret" * 100_000)))
        for _ in range(3):
            assert await (await Ask()(pool)).read_all() == b"secret" * 100_000
        assert len(upstream.connections) == 1
        await pool.close()


async def test_a_tls_connection_closed_on_reuse_is_retried(certificate: Path) -> None:
    async with ScriptedUpstream(tls=serving(certificate)) as upstream:
        pool = Pool(upstream.url, tls=tls_context(str(certificate)))
        upstream.then(request(), send(answer()), request())
        upstream.then(request(), send(answer(b"fresh")), stall())
        await (await Ask()(pool)).read_all()
        assert await (await Ask()(pool)).read_all() == b"fresh"
        await pool.close()


async def test_an_unknown_authority_is_refused_before_anything_is_sent(certificate: Path) -> None:
    async with ScriptedUpstream(tls=serving(certificate)) as upstream:
        upstream.otherwise(serve(answer()))
        with pytest.raises(TransportError, match="certificate") as refused:
            await Ask()(Pool(upstream.url))
        assert refused.value.failure.kind is FailureKind.CONNECT
        assert upstream.requests == []


async def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    async with ScriptedUpstream(tls=serving(certificate)) as upstream:
        pool = Pool(f"https://localhost:{upstream.port}", tls=tls_context(str(certificate)))
        with pytest.raises(TransportError, match="certificate"):
            await Ask()(pool)
        assert upstream.requests == []


async def test_tls_is_never_downgraded(certificate: Path) -> None:
    async with ScriptedUpstream() as plain:
        plain.otherwise(send(answer()), stall())
        pool = Pool(f"https://127.0.0.1:{plain.port}", tls=tls_context(str(certificate)))
        with pytest.raises(TransportError) as refused:
            await Ask()(pool)
        assert refused.value.failure.kind is FailureKind.CONNECT
        assert pool.open_count == 0
        assert len(plain.connections) == 1


async def test_a_handshake_that_hangs_is_a_connect_failure(certificate: Path) -> None:
    async with ScriptedUpstream() as plain:
        plain.otherwise(deaf())
        pool = Pool(f"https://127.0.0.1:{plain.port}", tls=tls_context(str(certificate)))
        with pytest.raises(TransportError) as late:
            await Ask(Timeouts(connect_s=0.1))(pool)
        assert late.value.failure.kind is FailureKind.CONNECT
        assert pool.open_count == 0


async def test_cancelling_closes_a_tls_connection_at_once(certificate: Path) -> None:
    async with ScriptedUpstream(tls=serving(certificate)) as upstream:
        pool = Pool(upstream.url, tls=tls_context(str(certificate)))
        upstream.then(request(), stall())
        task = asyncio.ensure_future(Ask()(pool))
        await until(lambda: upstream.requests)
        task.cancel()
        await asyncio.wait_for(upstream.connections[0].hung_up.wait(), 1)
        assert pool.open_count == 0


def test_contexts_verify_and_refuse_old_tls() -> None:
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
