"""The same alerts as Grafana's alerting reads them from a provisioning folder.

Grafana fills in environment variables where it sees a dollar sign, in some versions in annotations too; so templates
name `.Labels` and `.Values`, which are the same, and no dollar sign is left.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from dashboards.alerting.documents import written
from dashboards.building.grafana import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.alerting.values import Alert, Group
    from dashboards.building.values import Board

PROMETHEUS_UID: Final = "pointsman-prometheus"
FOLDER: Final = "Pointsman"
_ASKED: Final = "A"
_FIRES: Final = "B"
_LOOKBACK_S: Final = 600


def alerting_text(groups: Iterable[Group], boards: Iterable[Board]) -> str:
    """The provisioning file of all alerts."""
    panels = {(board.uid, title): panel_id for board in boards for title, panel_id in _panel_ids(board)}
    document = {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": group.name,
                "folder": FOLDER,
                "interval": "1m",
                "rules": [_rule(alert, panels[alert.board, alert.panel]) for alert in group.alerts()],
            }
            for group in groups
            if group.alerts()
        ],
    }
    return written(
        "The alerts of dashboards/rules for Grafana's own alerting, with its datasource's uid as it is here.", document
    )


def _panel_ids(board: Board) -> list[tuple[str, int]]:
    told = as_json(board)["panels"]
    panels = [inner for panel in told for inner in (panel, *panel.get("panels", ()))]
    return [(panel["title"], panel["id"]) for panel in panels if panel["type"] != "row"]


def _rule(alert: Alert, panel_id: int) -> dict[str, Any]:
    window = alert.labels.get("window")
    return {
        "uid": uid(alert),
        "title": f"{alert.name} ({window})" if window else alert.name,
        "condition": _FIRES,
        "data": [_query(alert), _condition()],
        "dashboardUid": alert.board,
        "panelId": panel_id,
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.wait,
        "annotations": {
            "summary": _template(alert.summary),
            "description": _template(alert.description),
            "runbook_url": alert.runbook,
        },
        "labels": {"severity": alert.severity.value, **alert.labels},
        "isPaused": False,
    }


def uid(alert: Alert) -> str:
    """At most 40 characters, the same as long as the alert has its name and labels."""
    told = "".join([alert.name, *(f",{name}={value}" for name, value in alert.labels.items())])
    return f"pointsman-{hashlib.sha256(told.encode()).hexdigest()[:20]}"


def _query(alert: Alert) -> dict[str, Any]:
    return {
        "refId": _ASKED,
        "relativeTimeRange": {"from": _LOOKBACK_S, "to": 0},
        "datasourceUid": PROMETHEUS_UID,
        "model": {"refId": _ASKED, "expr": alert.expr, "instant": True, "range": False, "editorMode": "code"},
    }


def _condition() -> dict[str, Any]:
    """It fires wherever the query has a series, whatever its value: bounds are in the query."""
    model = {
        "refId": _FIRES,
        "type": "math",
        "expression": f"is_number(${_ASKED}) || is_inf(${_ASKED})",
        "datasource": {"type": "__expr__", "uid": "__expr__"},
    }
    return {
        "refId": _FIRES,
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": model,
    }


def _template(text: str) -> str:
    return text.replace("$labels.", ".Labels.").replace("$value", f".Values.{_ASKED}.Value")
