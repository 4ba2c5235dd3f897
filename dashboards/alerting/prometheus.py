"""Rules as Prometheus reads them, one file per group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.alerting.documents import written
from dashboards.alerting.values import Alert

if TYPE_CHECKING:
    from dashboards.alerting.values import Group, Recording


def rules_text(group: Group) -> str:
    """The text of the group's rules file."""
    document = {"groups": [{"name": group.name, "rules": [_rule(rule) for rule in group.rules]}]}
    return written(group.about, document)


def _rule(rule: Alert | Recording) -> dict[str, Any]:
    if isinstance(rule, Alert):
        return _alert(rule)
    told: dict[str, Any] = {"record": rule.record, "expr": rule.expr}
    return told | ({"labels": dict(rule.labels)} if rule.labels else {})


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.wait,
        "labels": {"severity": alert.severity.value, **alert.labels},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": alert.runbook,
            "dashboard": f"/d/{alert.board}",
        },
    }
