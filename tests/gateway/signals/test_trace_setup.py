from __future__ import annotations

from gateway.config.telemetry import TelemetrySettings
from gateway.signals.conventions import CostNames, Semconv, UsageShown, Wording
from gateway.signals.profiles import PROFILES
from gateway.signals.sampling import Sampling
from gateway.signals.span_export import Dropped
from gateway.signals.trace_setup import dropped_by, traces_of


def settings(*otlp: dict[str, object]) -> TelemetrySettings:
    return TelemetrySettings.model_validate({"otlp": list(otlp), "semconv": "latest", "cost_semconv": "none"})


HERE = {"endpoint": "http://127.0.0.1:4318"}


def test_without_a_destination_there_are_no_traces() -> None:
    assert traces_of(TelemetrySettings(), lambda: 0) is None
    assert dropped_by(None) == [(("traces",), 0)]


def test_each_destination_has_rules_a_profile_and_a_name_of_its_own() -> None:
    sample = {"ratio": "5%", "slow": "2s", "cost": "0.10 USD", "errors": False}
    traces = traces_of(settings(HERE, {**HERE, "profile": "langfuse", "sample": sample, "name": "lf"}), lambda: 0)
    assert traces is not None
    plain, langfuse = traces.destinations
    assert (plain.sampling, langfuse.sampling) == (Sampling(1.0), Sampling(0.05, 2.0, 100_000_000, errors=False))
    assert (plain.export.name, langfuse.export.name) == ("plain", "lf")
    assert (plain.export._profile, langfuse.export._profile) == (None, PROFILES["langfuse"])
    assert traces._wording == Wording(Semconv.LATEST, CostNames.NONE, UsageShown.ALWAYS)


def test_drops_are_told_by_destination_where_there_are_several() -> None:
    several = traces_of(settings(HERE, {**HERE, "name": "b"}), lambda: 0)
    alone = traces_of(settings(HERE), lambda: 0)
    assert several is not None
    assert alone is not None
    several.destinations[1].export.drop(Dropped.REFUSED, 3)
    alone.destinations[0].export.drop(Dropped.REFUSED, 2)
    assert dropped_by(several) == [(("traces:plain",), 0), (("traces:b",), 3)]
    assert dropped_by(alone) == [(("traces",), 2)]
