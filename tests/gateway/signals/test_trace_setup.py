from __future__ import annotations

import pytest

from gateway.config.telemetry import ContentSettings, TelemetrySettings
from gateway.errors import StartError
from gateway.keys.virtual_keys import Hmac
from gateway.signals.conventions import CostNames, Semconv, UsageShown, Wording
from gateway.signals.profiles import PROFILES
from gateway.signals.sampling import Sampling
from gateway.signals.span_export import Dropped
from gateway.signals.trace_setup import CAPTURE, content_rules, dropped_by, traces_of
from policies.content import ContentRules
from policies.route_rules import Content


def settings(*otlp: dict[str, object]) -> TelemetrySettings:
    return TelemetrySettings.model_validate({"otlp": list(otlp), "semconv": "latest", "cost_semconv": "none"})


HERE: dict[str, object] = {"endpoint": "http://127.0.0.1:4318"}
MAC = Hmac(b"pepper")


def test_without_a_destination_there_are_no_traces() -> None:
    assert traces_of(TelemetrySettings(), lambda: 0, MAC) is None
    assert dropped_by(None) == [(("traces",), 0)]


def test_each_destination_has_rules_a_profile_and_a_name_of_its_own() -> None:
    sample = {"ratio": "5%", "slow": "2s", "cost": "0.10 USD", "errors": False}
    traces = traces_of(settings(HERE, {**HERE, "profile": "langfuse", "sample": sample, "name": "lf"}), lambda: 0, MAC)
    assert traces is not None
    plain, langfuse = traces.destinations
    assert (plain.sampling, langfuse.sampling) == (Sampling(1.0), Sampling(0.05, 2.0, 100_000_000, errors=False))
    assert (plain.export.name, langfuse.export.name) == ("plain", "lf")
    assert (plain.export._profile, langfuse.export._profile) == (None, PROFILES["langfuse"])
    assert traces._wording == Wording(Semconv.LATEST, CostNames.NONE, UsageShown.ALWAYS)


def test_drops_are_told_by_destination_where_there_are_several() -> None:
    several = traces_of(settings(HERE, {**HERE, "name": "b"}), lambda: 0, MAC)
    alone = traces_of(settings(HERE), lambda: 0, MAC)
    assert several is not None
    assert alone is not None
    several.destinations[1].export.drop(Dropped.REFUSED, 3)
    alone.destinations[0].export.drop(Dropped.REFUSED, 2)
    assert dropped_by(several) == [(("traces:plain",), 0), (("traces:b",), 3)]
    assert dropped_by(alone) == [(("traces",), 2)]


@pytest.mark.parametrize(
    ("environment", "most"), [("", Content.FULL), ("SPAN_ONLY", Content.FULL), ("NO_CONTENT", Content.NONE)]
)
def test_the_environment_bounds_what_the_policy_allows(environment: str, most: Content) -> None:
    asked = ContentSettings.model_validate({"default": "hash", "max": "full", "max_bytes": "1KiB"})
    assert content_rules(asked, environment) == ContentRules(Content.HASH, most, 1024)
    assert content_rules(ContentSettings(), "true").most is Content.REDACTED, "and allows no more than that"


def test_nothing_is_captured_where_nothing_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTURE, "NO_CONTENT")
    silent = traces_of(settings(HERE), lambda: 0, MAC)
    monkeypatch.delenv(CAPTURE)
    able = traces_of(settings(HERE), lambda: 0, MAC)
    assert silent is not None
    assert able is not None
    assert (silent._content is None, able._content is None) == (True, False)


def test_a_slip_in_the_environment_ends_the_start() -> None:
    with pytest.raises(StartError, match=CAPTURE):
        content_rules(ContentSettings(), "SPAN")
