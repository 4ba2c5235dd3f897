from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from gateway.signals import telemetry, vitals_telemetry
from gateway.signals.conventions import Metric, Semconv
from gateway.signals.metric_otlp import OtlpMetrics
from gateway.signals.metrics import Registry
from gateway.signals.posting import Poster

WHERE = ("openai", "a", "gpt-4o")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def encoded(semconv: Semconv = Semconv.V1_41) -> dict[str, Any]:
    return sent(filled(), semconv)


def filled() -> Registry:
    registry = Registry()
    registry.cells(telemetry.TEAM_COST).at("t", "gpt-4o").inc(1_500_000_000)
    registry.cells(telemetry.TOKENS).at(*WHERE, "cached_input", "chat").inc(7)
    registry.histograms(telemetry.UPSTREAM_DURATION).at(*WHERE, "chat").observe(0.3, TRACE)
    registry.histograms(telemetry.UPSTREAM_DURATION).at("openai", "b", "gpt-4o", "chat").observe(0.3)
    registry.histograms(telemetry.ATTEMPT_TOKENS).at(*WHERE, "input", "chat").observe(100)
    registry.histograms(telemetry.ATTEMPT_TOKENS).at(*WHERE, "output", "chat").observe(10)
    registry.sample(telemetry.DEPLOYMENT_UP, lambda: [(("a",), True)])
    registry.sample(telemetry.KEY_UP, lambda: [(("a", ""), True)])
    registry.sample(vitals_telemetry.PROCESS_START, lambda: [(("0",), 100.5)])
    return registry


def sent(registry: Registry, semconv: Semconv = Semconv.V1_41) -> dict[str, Any]:
    sender = OtlpMetrics(Poster("http://127.0.0.1:1/v1/metrics", {}, 1.0), "0.1", semconv, since_ns=5)
    request = ExportMetricsServiceRequest.FromString(sender.encode(registry.snapshot(), 9).SerializeToString())
    (of_resource,) = request.resource_metrics
    assert {one.key: one.value.string_value for one in of_resource.resource.attributes}["service.name"] == "pointsman"
    (of_scope,) = of_resource.scope_metrics
    names = [metric.name for metric in of_scope.metrics]
    assert len(names) == len(set(names))
    return {metric.name: metric for metric in of_scope.metrics}


def attributes(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


def test_sums_are_cumulative_and_in_their_unit() -> None:
    cost = encoded()["pointsman_team_cost_usd_total"]
    assert cost.sum.is_monotonic
    assert cost.sum.aggregation_temporality == 2
    (point,) = cost.sum.data_points
    assert (point.as_double, point.start_time_unix_nano, point.time_unix_nano) == (1.5, 5, 9)
    assert attributes(point) == {"team": "t", "model": "gpt-4o"}
    assert cost.unit == "{USD}"


def test_gauges_are_what_they_are_and_empty_labels_are_none() -> None:
    told = encoded()
    (up,) = told["pointsman_key_up"].gauge.data_points
    assert (up.as_int, attributes(up)) == (1, {"deployment": "a"})
    (start,) = told["process_start_time_seconds"].gauge.data_points
    assert start.as_double == 100.5


def test_histograms_bring_their_buckets_and_the_trace_of_an_exemplar() -> None:
    points = encoded()["pointsman_upstream_duration_seconds"].histogram.data_points
    (point,) = (one for one in points if attributes(one)["deployment"] == "a")
    assert list(point.explicit_bounds) == list(telemetry.UPSTREAM_DURATION.buckets)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert (point.count, point.sum) == (1, 0.3)
    assert point.exemplars[0].trace_id.hex() == TRACE


def test_the_published_version_s_names_are_opentelemetry_s() -> None:
    official = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI")}
    newer = {Metric.FIRST_CHUNK}  # in 1.41, and not in the package yet
    told = encoded()
    named = {name for name in told if name.startswith("gen_ai.")}
    assert named == {Metric.DURATION, Metric.TOKEN_USAGE}
    assert named <= official | newer
    kinds = [attributes(one) for one in told[Metric.TOKEN_USAGE].histogram.data_points]
    assert {one["gen_ai.token.type"] for one in kinds} == {"input", "output"}
    assert kinds[0]["gen_ai.provider.name"] == "openai"
    assert kinds[0]["gen_ai.request.model"] == "gpt-4o"
    # Two deployments of one model are two points, as points of one name must differ.
    durations = told[Metric.DURATION].histogram.data_points
    assert {attributes(one)["pointsman.deployment"] for one in durations} == {"a", "b"}


def test_the_newest_names_are_those_of_the_conventions_own_repository() -> None:
    """github.com/open-telemetry/semantic-conventions-genai, docs on metrics, as read in November 2026."""
    assert {name for name in encoded(Semconv.LATEST) if name.startswith("gen_ai.")} == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    }


@pytest.mark.parametrize("semconv", Semconv)
def test_our_own_names_stand_beside_them(semconv: Semconv) -> None:
    assert {"pointsman_tokens_total", "pointsman_upstream_duration_seconds"} < encoded(semconv).keys()


@pytest.mark.parametrize("semconv", Semconv)
def test_what_opentelemetry_names_says_what_was_asked_for(semconv: Semconv) -> None:
    """`gen_ai.operation.name` is required on each of these metrics, in both versions."""
    operations = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    registry = filled()
    registry.histograms(telemetry.FIRST_TOKEN).at(*WHERE, "text_completion").observe(0.1)
    registry.histograms(telemetry.PER_TOKEN).at(*WHERE, "text_completion").observe(0.01)
    named = {name: metric for name, metric in sent(registry, semconv).items() if name.startswith("gen_ai.")}
    assert len(named) >= 4
    for metric in named.values():
        for point in (*metric.histogram.data_points, *metric.sum.data_points):
            assert attributes(point)[gen_ai_attributes.GEN_AI_OPERATION_NAME] in operations


def test_one_deployment_s_two_operations_are_two_points_there_and_one_under_our_name() -> None:
    registry = filled()
    registry.histograms(telemetry.UPSTREAM_DURATION).at(*WHERE, "embeddings").observe(2.0)
    registry.cells(telemetry.TOKENS).at(*WHERE, "cached_input", "text_completion").inc(5)
    told = sent(registry, Semconv.LATEST)
    theirs = {
        attributes(one)["gen_ai.operation.name"]: one.count
        for one in told["gen_ai.client.inference.duration"].histogram.data_points
        if attributes(one)["pointsman.deployment"] == "a"
    }
    assert theirs == {"chat": 1, "embeddings": 1}
    (ours,) = (
        one
        for one in told["pointsman_upstream_duration_seconds"].histogram.data_points
        if attributes(one)["deployment"] == "a"
    )
    assert (ours.count, round(ours.sum, 9), sum(ours.bucket_counts)) == (2, 2.3, 2)
    assert attributes(ours) == {"provider": "openai", "deployment": "a", "model": "gpt-4o"}
    (tokens,) = told["pointsman_tokens_total"].sum.data_points
    assert tokens.as_int == 12
