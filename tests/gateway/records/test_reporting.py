"""Recorder, ledger, metrics and log, put together: one call reaches them all."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import yaml

from gateway.config import Config, examine_text
from gateway.config.metering import MetricsExportSettings, MetricsSettings
from gateway.errors import StartError
from gateway.lifecycle import Lifecycle
from gateway.records import reporting as reporting_module
from gateway.records.ledger_rows import ledger_rows
from gateway.records.reporting import Reporting
from gateway.records.settlement import settle
from gateway.signals.sending import Sent
from gateway.signals.telemetry import ATTEMPT_TOKENS
from gateway.state.fleet import Fleet
from gateway.state.journal.journal import Journal
from gateway.state.journal.slots import claim
from policies.usage import Usage
from policies.vocabulary import Deployment, Failure, FailureKind
from tests.gateway.calls import answered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.signals.metrics import FamilySnapshot


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    Config.model_rebuild()  # now, as it reads files
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def policy(folder: Path) -> Config:
    tree = {
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "providers": {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none"}},
        "deployments": {"a": {"provider": "p", "model": "m"}},
        "routes": [{"model": "r", "targets": ["a"]}],
    }
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


async def test_a_recorded_call_is_in_the_ledger_and_the_metrics_once_closed(tmp_path: Path) -> None:
    reporting = Reporting(policy(tmp_path))
    reporting.watch(Fleet(lambda: 0.0), Lifecycle())
    await reporting.start()
    reporting.recorder.record(answered(Usage(1, 2)))
    await reporting.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        assert connection.execute("SELECT count(*) FROM attempts").fetchone() == (1,)
    _, text = await reporting.scrapes.scrape("")
    assert b"pointsman_requests_total{" in text


async def test_scrapes_read_the_fleet_and_the_lifecycle_as_they_are(tmp_path: Path) -> None:
    reporting, lifecycle, now = Reporting(policy(tmp_path)), Lifecycle(), 0.0
    fleet = Fleet(lambda: now)
    reporting.watch(fleet, lifecycle)
    lifecycle.enter_route("r")
    for _ in range(5):
        lease = fleet.lease(Deployment("a", "p", "openai", "m"))
        lease.fail(Failure(FailureKind.CONNECT))
        lease.release()
    _, text = await reporting.scrapes.scrape("")
    assert b'pointsman_inflight_requests{route="r"} 1' in text
    assert b'pointsman_circuit_state{deployment="a"} 2' in text
    assert b'pointsman_deployment_up{deployment="a"} 0' in text


async def test_a_ledger_of_another_kind_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is no database, and long enough to be seen as none" * 20)
    with pytest.raises(StartError, match="ledger"):
        await Reporting(policy(tmp_path)).start()


async def test_scrapes_tell_what_the_ledger_has_still_to_do(tmp_path: Path) -> None:
    reporting = Reporting(policy(tmp_path))
    reporting.watch(Fleet(lambda: 0.0), Lifecycle())
    await reporting.start()
    (row,) = ledger_rows(settle(answered(Usage(1, 2))))
    reporting.ledger.intend(row)
    _, text = await reporting.scrapes.scrape("")
    assert b"pointsman_ledger_open_intents 1\n" in text
    size = re.search(rb"pointsman_ledger_journal_bytes (\d+)", text)
    assert size is not None
    assert int(size[1]) > 100
    await reporting.close()


def leave_behind(folder: Path) -> None:
    """An attempt without an outcome, and 37 bytes of nothing."""
    slot = claim(folder)
    journal = Journal(slot)
    journal.start()
    for row in ledger_rows(settle(answered(Usage(1, 2)))):
        journal.intend(row)
    journal.close()
    with slot.path_of(1).open("ab") as file:
        file.write(b"\xff" * 37)
    slot.release()


async def test_scrapes_tell_what_dead_processes_left(tmp_path: Path) -> None:
    await asyncio.to_thread(leave_behind, tmp_path / "ledger.db.journal")
    reporting = Reporting(policy(tmp_path))
    reporting.watch(Fleet(lambda: 0.0), Lifecycle())
    await reporting.start()
    await reporting.close()
    _, text = await reporting.scrapes.scrape("")
    assert b"pointsman_ledger_unknown_attempts_total 1\n" in text
    assert b"pointsman_ledger_damaged_bytes_total 37\n" in text


async def test_a_route_that_a_reload_removed_is_told_of_until_its_last_call_is_over(tmp_path: Path) -> None:
    reporting, lifecycle = Reporting(policy(tmp_path)), Lifecycle()
    reporting.watch(Fleet(lambda: 0.0), lifecycle)
    reporting._routes = frozenset({"stays"})
    for route in ("stays", "goes"):
        lifecycle.enter()
        lifecycle.enter_route(route)

    async def told() -> set[bytes]:
        _, text = await reporting.scrapes.scrape("")
        return {line for line in text.splitlines() if line.startswith(b"pointsman_inflight_requests{")}

    stays, goes = (b'pointsman_inflight_requests{route="%s"} ' % name for name in (b"stays", b"goes"))
    assert await told() == {stays + b"1", goes + b"1"}
    for route in ("stays", "goes"):
        lifecycle.leave(route)
    assert await told() == {stays + b"0"}
    await reporting.start()
    await reporting.close()


class Taken:
    """A collector that takes everything."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def send(self, snapshots: list[FamilySnapshot], _: int) -> Sent:
        self.names |= {one.family.name for one in snapshots}
        return Sent()

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_process_that_serves_alone_sends_its_metrics_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    collector, config = Taken(), policy(tmp_path)
    monkeypatch.setattr(reporting_module, "metric_sender", lambda *_: collector)
    otlp = MetricsExportSettings.model_validate({"endpoint": "http://127.0.0.1:4318"})
    telemetry = config.telemetry.model_copy(update={"metrics": MetricsSettings(otlp=otlp)})
    server = config.server.model_copy(update={"workers": workers})
    reporting = Reporting(config.model_copy(update={"telemetry": telemetry, "server": server}))
    await reporting.start()
    await reporting.close()
    assert ("pointsman_attempt_tokens" in collector.names) == (workers == 1)
    assert reporting.registry.has(ATTEMPT_TOKENS)
