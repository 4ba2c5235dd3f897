"""What a rule is tried on: series as promtool writes them, a moment, and the alerts that must fire then, or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboards.alerting.groups import GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.alerting.values import Alert

JOB = 'job="pointsman"'
AT = f'{JOB},instance="a"'
ALERTS: dict[str, list[Alert]] = {}
for _group in GROUPS:
    for _alert in _group.alerts():
        ALERTS.setdefault(_alert.name, []).append(_alert)


@dataclass(frozen=True)
class Case:
    """`series` maps a series to its values, one a minute; `fires` are the labels of each alert beside its own."""

    alert: str
    about: str
    series: Mapping[str, str]
    at: str
    fires: tuple[Mapping[str, str], ...] = field(default=())

    @property
    def is_long(self) -> bool:
        """Longer than a day: then rules are evaluated every ten minutes only, or the suite would wait."""
        return int(self.at.removesuffix("m")) > 24 * 60

    def as_promtool_reads_it(self) -> dict[str, Any]:
        return {
            "name": f"{self.alert}: {self.about}",
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "alert_rule_test": [
                {
                    "eval_time": self.at,
                    "alertname": self.alert,
                    "exp_alerts": [{"exp_labels": self._labels(own)} for own in self.fires],
                }
            ],
        }

    def _labels(self, own: Mapping[str, str]) -> dict[str, str]:
        """Those of the case, and those of the rule: of several of one name, the one with that window."""
        rules = ALERTS[self.alert]
        (rule,) = [rule for rule in rules if rule.labels.get("window") == own.get("window")]
        labels = {"job": "pointsman", **own, **rule.labels, "severity": rule.severity.value}
        return {name: value for name, value in labels.items() if value}


def fires(alert: str, about: str, series: Mapping[str, str], at: str, *told: Mapping[str, str]) -> Case:
    """A case in which the alert fires, once for each of `told`."""
    assert told, "say which labels it fires with"
    return Case(alert, about, series, at, told)


def silent(alert: str, about: str, series: Mapping[str, str], at: str) -> Case:
    return Case(alert, about, series, at)
