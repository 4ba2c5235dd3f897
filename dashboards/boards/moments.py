"""Moments that every board marks: when something changed is where a search for a cause begins."""

from __future__ import annotations

from typing import Final

from dashboards.building.values import BLUE, ORANGE, PURPLE, Note

CHANGES: Final = (
    Note(
        name="Policy changes",
        expr="sum by (instance, hash) (pointsman_config_info{*} unless pointsman_config_info{*} offset 1m)",
        colour=BLUE,
        title="Policy changed",
        text="{{instance}} now follows policy {{hash}}",
    ),
    Note(
        name="Worker restarts",
        expr="sum by (instance, worker) (increase(pointsman_worker_restarts_total{*}[1m])) > 0",
        colour=ORANGE,
        title="Worker restarted",
        text="worker {{worker}} of {{instance}} was started anew after one that died",
    ),
    Note(
        name="Versions",
        expr="sum by (instance, version) (pointsman_build_info{*} unless pointsman_build_info{*} offset 1m)",
        colour=PURPLE,
        title="Gateway started or updated",
        text="{{instance}} now runs version {{version}}",
    ),
)
