"""How a panel's numbers are written and coloured: units, thresholds, states, columns, and where a click leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.models import dashboard

from dashboards.building.values import BLUE, GREEN, Show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dashboards.building.values import Column, Link, Override, Panel

Steps = tuple[tuple[float | None, str], ...]


def field_config(panel: Panel, made: dashboard.FieldConfigSource | None) -> dashboard.FieldConfigSource:
    """The defaults of all fields, beside what the panel's kind has `made` already, and what some differ in."""
    defaults = made.defaults if made is not None and made.defaults is not None else dashboard.FieldConfig()
    defaults.unit, defaults.decimals = panel.unit, panel.decimals
    defaults.min_val, defaults.max_val = panel.least, panel.most
    defaults.no_value = panel.none_text
    defaults.thresholds = _thresholds(panel.steps or _plain_steps(panel))
    defaults.color = _colour(panel)
    if panel.states:
        defaults.mappings = [_mapping(panel)]
    overrides = [_column(column) for column in panel.columns] + [_override(one) for one in panel.overrides]
    return dashboard.FieldConfigSource(defaults=defaults, overrides=[each for each in overrides if each.properties])


def field_links(links: Iterable[Link]) -> list[dict[str, Any]]:
    return [{"title": link.title, "url": link.url, "targetBlank": link.new_tab} for link in links]


def _plain_steps(panel: Panel) -> Steps:
    """Where no bound is good or bad, one colour that says neither."""
    return ((None, BLUE if panel.show in {Show.STAT, Show.BARS, Show.GAUGE} else GREEN),)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [dashboard.Threshold(value=bound, color=colour) for bound, colour in steps]
    return dashboard.ThresholdsConfig(mode=dashboard.ThresholdsMode.ABSOLUTE, steps=made)


def _colour(panel: Panel) -> dashboard.FieldColor:
    by_bound = panel.show in {Show.STAT, Show.GAUGE, Show.BARS, Show.TABLE, Show.STATES}
    mode = dashboard.FieldColorModeId.THRESHOLDS if by_bound else dashboard.FieldColorModeId.PALETTE_CLASSIC
    return dashboard.FieldColor(mode=mode)


def _mapping(panel: Panel) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        {
            str(state.value): dashboard.ValueMappingResult(text=state.text, color=state.colour, index=index)
            for index, state in enumerate(panel.states)
        }
    )


def _column(column: Column) -> dashboard.DashboardFieldConfigSourceOverrides:
    return _matching("byName", column.title, _column_properties(column))


def _column_properties(column: Column) -> Iterator[tuple[str, object]]:
    if column.unit is not None:
        yield "unit", column.unit
    if column.decimals is not None:
        yield "decimals", column.decimals
    if column.width is not None:
        yield "custom.width", column.width
    if column.steps:
        yield "thresholds", _thresholds(column.steps)
    if column.bar:
        yield "custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    elif column.steps:
        yield "custom.cellOptions", {"type": "color-text"}
    if column.links:
        yield "links", field_links(column.links)


def _override(one: Override) -> dashboard.DashboardFieldConfigSourceOverrides:
    return _matching("byRegexp", f"/^{one.series}$/", _override_properties(one))


def _override_properties(one: Override) -> Iterator[tuple[str, object]]:
    if one.colour is not None:
        yield "color", {"mode": "fixed", "fixedColor": one.colour}
    if one.right_unit is not None:
        yield "unit", one.right_unit
        yield "custom.axisPlacement", "right"
    if one.dashed:
        yield "custom.lineStyle", {"fill": "dash", "dash": [10, 10]}
        yield "custom.fillOpacity", 0
    if one.unstacked:
        yield "custom.stacking", {"mode": "none", "group": "A"}


def _matching(
    matcher: str, name: str, properties: Iterable[tuple[str, object]]
) -> dashboard.DashboardFieldConfigSourceOverrides:
    values = [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in properties]
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val=matcher, options=name), properties=values
    )
