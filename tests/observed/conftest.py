"""One run for the whole session: starting it costs more than all the questions asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from tests.observed.prometheus_server import is_installed
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
    if not is_installed():
        pytest.skip("there is no prometheus; scripts/test_servers.sh installs Debian's")
    redis_server()  # the test skips where there is none
    run = observed(tmp_path_factory.mktemp("observed"), PACE)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(run) as made:
        yield made
