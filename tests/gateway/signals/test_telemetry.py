from __future__ import annotations

import re

from gateway.signals.catalogue import SOURCES
from gateway.signals.telemetry import Family, Kind, Merge

FAMILIES = [value for names in SOURCES for value in vars(names).values() if isinstance(value, Family)]
# Not in the package yet: renamed or added in the conventions' own repository since.


def test_each_metric_has_one_name_of_the_right_form() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(r"(pointsman|process)_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER), family.name
        assert family.help.endswith("."), family.name


def test_a_rule_for_merging_is_for_gauges() -> None:
    assert all(family.kind is Kind.GAUGE for family in FAMILIES if family.merge is not Merge.SUM)


def test_only_histograms_have_buckets_and_they_rise() -> None:
    for family in FAMILIES:
        assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM), family.name
        assert list(family.buckets) == sorted(set(family.buckets)), family.name


def test_no_metric_is_labelled_with_what_a_caller_may_make_up() -> None:
    labels = {label for family in FAMILIES for label in family.labels}
    assert labels.isdisjoint({"key", "user", "session", "request_id", "path", "ip", "user_agent"})
