from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.transport.conftest import Ask
from tests.scripted_upstream import ScriptedUpstream, answer, serve

if TYPE_CHECKING:
    from gateway.transport import Pool


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(upstream: ScriptedUpstream, pool: Pool, status: int) -> None:
    async with ScriptedUpstream() as elsewhere:
        upstream.otherwise(serve(answer(status=status, headers=[("location", f"{elsewhere.url}/latest/meta-data")])))
        assert (await Ask()(pool)).status == status
        assert elsewhere.connections == []
        assert len(upstream.requests) == 1


async def test_cookies_are_not_kept(upstream: ScriptedUpstream, pool: Pool) -> None:
    upstream.otherwise(serve(answer(headers=[("set-cookie", "session=1; Path=/")])))
    for _ in range(2):
        await (await Ask()(pool)).read_all()
    assert "cookie" not in upstream.requests[1].headers


async def test_proxies_of_the_environment_are_not_used(
    upstream: ScriptedUpstream, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    upstream.otherwise(serve(answer(b"direct")))
    assert await (await Ask()(pool)).read_all() == b"direct"
