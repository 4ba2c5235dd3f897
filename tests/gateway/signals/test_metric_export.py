from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from gateway.config.metering import MetricsExportSettings
from gateway.signals import telemetry
from gateway.signals.conventions import Semconv
from gateway.signals.metric_export import MetricExport, metric_sender, sample_dropped
from gateway.signals.metric_otlp import OtlpMetrics
from gateway.signals.metrics import Registry
from gateway.signals.posting import Posted
from gateway.signals.sending import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.signals.metrics import FamilySnapshot


class Collector:
    """Takes exports, or does as it is told; the thread it is asked in is noted."""

    def __init__(self, *answers: Sent | Exception) -> None:
        self.answers = list(answers)
        self.exports: list[list[FamilySnapshot]] = []
        self.threads: set[int] = set()
        self.is_closed = False

    def send(self, snapshots: list[FamilySnapshot], _: int) -> Sent:
        self.threads.add(threading.get_ident())
        self.exports.append(snapshots)
        answer = self.answers.pop(0) if self.answers else Sent()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def otlp_metrics() -> Iterator[tuple[str, list[tuple[str, str | None, bytes]]]]:
    """A collector's base URL, and what came: path, token, body."""
    came: list[tuple[str, str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            came.append((self.path, self.headers.get("x-token"), body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    thread.join()
    server.server_close()


def a_registry() -> Registry:
    registry = Registry()
    registry.cells(telemetry.TEAM_REQUESTS).at("a", "ok").inc(3)
    return registry


async def test_all_metrics_are_sent_from_a_thread() -> None:
    registry, collector = a_registry(), Collector()
    registry.sample_apart(telemetry.INFLIGHT, lambda: [(("r",), 1)])
    await MetricExport(registry, collector, 15.0).export()
    assert {one.family.name for one in collector.exports[0]} >= {telemetry.TEAM_REQUESTS.name, telemetry.INFLIGHT.name}
    assert threading.get_ident() not in collector.threads


async def test_what_does_not_arrive_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = a_registry()
    away = Sent(retry_after_s=0.0, why="connection refused sk-proj-0123456789abcdefghij")
    export = MetricExport(registry, Collector(away, away, Sent(), Sent(refused=4), ValueError("a bug")), 15.0)
    sample_dropped(registry, export)
    for dropped in (1, 2, 2, 6, 7):
        await export.export()
        assert export.dropped == dropped
    assert caplog.text.count("does not take metrics") == 1
    assert "sk-proj-0123456789" not in caplog.text
    (told,) = (one for one in registry.snapshot() if one.family.name == "pointsman_telemetry_dropped_total")
    assert told.values == [(("metrics",), 7)]


async def test_it_sends_now_and_then_and_once_more_at_the_end() -> None:
    registry, collector = a_registry(), Collector()
    export = MetricExport(registry, collector, 3600.0)
    export.start()
    registry.cells(telemetry.TEAM_REQUESTS).at("a", "ok").inc()
    await export.close()
    assert len(collector.exports) == 1
    (teams,) = (one for one in collector.exports[0] if one.family is telemetry.TEAM_REQUESTS)
    assert teams.values == [(("a", "ok"), 4)]
    assert collector.is_closed
    often = Collector()
    export = MetricExport(registry, often, 0.001)
    export.start()
    while len(often.exports) < 2:
        await export.export()
    await export.close()
    assert len(often.exports) >= 3


def test_what_a_collector_answers_is_believed_as_far_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = MetricsExportSettings.model_validate(
        {"endpoint": "http://127.0.0.1:1/otlp/", "headers": {"x-token": "t"}}
    )
    sender = metric_sender(settings, Semconv.V1_41)
    assert isinstance(sender, OtlpMetrics)
    bodies: list[bytes] = []
    refused = ExportMetricsServiceResponse()
    refused.partial_success.rejected_data_points = 2
    answers: list[Posted | OSError] = [
        Posted(200, None, b""),
        Posted(200, None, refused.SerializeToString()),
        Posted(200, None, b"\xff\xff"),
        Posted(400, None, b"no"),
        Posted(503, 7.0, b""),
        OSError("refused"),
    ]

    def post(body: bytes, headers: Mapping[str, str]) -> Posted:
        assert headers["content-type"] == "application/x-protobuf"
        bodies.append(body)
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(sender._poster, "post", post)
    taken = a_registry().snapshot()
    points = sum(len(one.values) for one in taken)
    told = [sender.send(taken, 9) for _ in range(6)]
    assert [one.refused for one in told] == [0, 2, 0, points, 0, 0]
    assert [one.why for one in told] == ["", "", "", "status 400", "status 503", "refused"]
    assert told[4].retry_after_s == 7.0


def test_it_goes_to_the_path_for_metrics(otlp_metrics: tuple[str, list[tuple[str, str | None, bytes]]]) -> None:
    url, came = otlp_metrics
    settings = MetricsExportSettings.model_validate({"endpoint": url, "headers": {"x-token": "t"}})
    sender = metric_sender(settings, Semconv.V1_41)
    assert sender.send(a_registry().snapshot(), 9) == Sent()
    sender.close()
    ((path, token, body),) = came
    assert (path, token) == ("/v1/metrics", "t")
    request = ExportMetricsServiceRequest.FromString(body)
    assert "pointsman_team_requests_total" in {one.name for one in request.resource_metrics[0].scope_metrics[0].metrics}
