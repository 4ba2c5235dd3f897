"""From a spike to a trace: exemplars that Prometheus keeps name traces that a collector has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.observed.scene import Observed


@pytest.mark.parametrize(
    "family", ["pointsman_request_duration_seconds_bucket", "pointsman_time_to_first_token_seconds_bucket"]
)
def test_exemplars_name_traces_that_were_kept(seen: Observed, family: str) -> None:
    query = f'{family}{{instance="{seen.main}"}}'
    found = seen.prometheus.exemplars(query, seen.start_s - 10, seen.end_s)
    named = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    kept = {span.trace_id.hex() for span in seen.collector.spans}
    assert len(named) > 10
    assert named <= kept
