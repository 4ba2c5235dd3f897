"""One run for the whole session: starting it costs more than all the questions asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from gateway.extras import LLAMA, OTLP, SEMANTIC, is_installed
from tests.observed import prometheus_server
from tests.observed.scene import observed
from tests.observed.traffic import Pace
from tests.redis_servers import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observed.scene import Observed

PACE = Pace(seconds=60.0, seed=7)


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A minute of everything. Prometheus still answers; nothing else runs any more."""
    if not prometheus_server.is_installed():
        pytest.skip("there is no prometheus; scripts/test_servers.sh installs Debian's")
    if missing := [part.name for part in (LLAMA, SEMANTIC, OTLP) if not is_installed(part)]:
        pytest.skip(f"the picture needs the extras {', '.join(missing)}")
    redis_server()  # the test skips where there is none
    run = observed(tmp_path_factory.mktemp("observed"), PACE)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(run) as made:
        yield made
