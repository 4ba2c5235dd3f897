from __future__ import annotations

from typing import get_args

from gateway.config.telemetry import OtlpSettings
from gateway.records.settlement import settle
from gateway.signals.profiles import PROFILES
from gateway.signals.spans import spans_of
from tests.gateway.calls import answered


def test_every_profile_that_a_policy_can_name_is_there() -> None:
    assert set(get_args(OtlpSettings.model_fields["profile"].annotation)) == set(PROFILES)


def test_a_profile_leaves_the_span_that_others_get_as_it_is() -> None:
    for span in spans_of(settle(answered())):
        before = dict(span.attributes)
        for profile in PROFILES.values():
            if profile is not None:
                assert profile(span).attributes != before
        assert span.attributes == before
