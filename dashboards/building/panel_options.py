"""The part of a panel that depends on how it shows its numbers, by the builders of Grafana's Foundation SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    gauge,
    heatmap,
    logs,
    piechart,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import heatmap as heatmap_looks
from grafana_foundation_sdk.models import piechart as piechart_looks
from grafana_foundation_sdk.models import text as text_looks

from dashboards.building.values import Show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grafana_foundation_sdk.models import dashboard

    from dashboards.building.values import Panel

MANY = 2
"""From so many series on, a graph's legend is worth a table."""


def made(panel: Panel) -> dashboard.Panel:
    """A panel of the SDK with the options of its kind; title, queries and fields are `grafana`'s to add."""
    return _MAKERS[panel.show](panel)


def _legend(panel: Panel) -> common.VizLegendOptions:
    """Grafana shows a legend by itself, the SDK hides it: so it is said each time."""
    as_table = len(panel.queries) >= MANY or any("{{" in query.legend for query in panel.queries)
    mode = looks.LegendDisplayMode.TABLE if as_table else looks.LegendDisplayMode.LIST
    legend = common.VizLegendOptions().show_legend(show_legend=True).display_mode(mode)
    return legend.placement(looks.LegendPlacement.BOTTOM).calcs(list(panel.calcs) if as_table else [])


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)


def _reduced(panel: Panel) -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs([panel.calc]).values(values=False).fields("")


def _graph(panel: Panel) -> dashboard.Panel:
    made = timeseries.Panel().legend(_legend(panel)).tooltip(_tooltip()).show_points(looks.VisibilityMode.NEVER)
    made.line_width(1).fill_opacity(60 if panel.stacked else 10).span_nulls(span_nulls=False)
    made.draw_style(looks.GraphDrawStyle.LINE).line_interpolation(looks.LineInterpolation.LINEAR)
    if panel.least is None:
        made.axis_soft_min(0)
    if panel.stacked:
        made.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if panel.steps_shown:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    if panel.log_scale:
        made.scale_distribution(common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10))
    return made.build()


def _stat(panel: Panel) -> dashboard.Panel:
    trend = looks.BigValueGraphMode.AREA if panel.trend else looks.BigValueGraphMode.NONE
    made = stat.Panel().reduce_options(_reduced(panel)).graph_mode(trend).color_mode(looks.BigValueColorMode.VALUE)
    named = any(query.legend for query in panel.queries) and len(panel.queries) >= MANY
    mode = looks.BigValueTextMode.VALUE_AND_NAME if named else looks.BigValueTextMode.AUTO
    return made.text_mode(mode).justify_mode(looks.BigValueJustifyMode.AUTO).build()


def _gauge(panel: Panel) -> dashboard.Panel:
    return gauge.Panel().reduce_options(_reduced(panel)).show_threshold_markers(show_threshold_markers=True).build()


def _bars(panel: Panel) -> dashboard.Panel:
    made = bargauge.Panel().reduce_options(_reduced(panel)).orientation(looks.VizOrientation.HORIZONTAL)
    return made.display_mode(looks.BarGaugeDisplayMode.GRADIENT).show_unfilled(show_unfilled=True).build()


def _pie(panel: Panel) -> dashboard.Panel:
    legend = piechart.PieChartLegendOptions().show_legend(show_legend=True)
    legend.display_mode(looks.LegendDisplayMode.TABLE).placement(looks.LegendPlacement.RIGHT).calcs([])
    legend.values([piechart_looks.PieChartLegendValues.VALUE, piechart_looks.PieChartLegendValues.PERCENT])
    made = piechart.Panel().pie_type(piechart_looks.PieChartType.DONUT).reduce_options(_reduced(panel))
    return made.legend(legend).tooltip(_tooltip()).build()


def _table(panel: Panel) -> dashboard.Panel:
    made = table.Panel().cell_height(looks.TableCellHeight.SM).show_header(show_header=True).filterable(filterable=True)
    if panel.sort_by is not None:
        made.sort_by([common.TableSortByFieldState().display_name(panel.sort_by).desc(desc=True)])
    return made.build()


def _heatmap(panel: Panel) -> dashboard.Panel:
    colours = heatmap.HeatmapColorOptions().mode(heatmap_looks.HeatmapColorMode.SCHEME).scheme("Turbo").steps(64)
    made = heatmap.Panel().calculate(calculate=False).cell_gap(1).color(colours)
    made.rows_frame(heatmap.RowsHeatmapOptions().layout(looks.HeatmapCellLayout.AUTO))
    made.y_axis(heatmap.YAxisConfig().unit(panel.unit).axis_placement(looks.AxisPlacement.LEFT).reverse(reverse=False))
    tooltip = heatmap.HeatmapTooltip().mode(looks.TooltipDisplayMode.SINGLE).y_histogram(y_histogram=True)
    return made.tooltip(tooltip).show_legend().build()


def _states(panel: Panel) -> dashboard.Panel:
    legend = common.VizLegendOptions().show_legend(show_legend=True).display_mode(looks.LegendDisplayMode.LIST)
    made = statetimeline.Panel().legend(legend.placement(looks.LegendPlacement.BOTTOM).calcs([])).tooltip(_tooltip())
    never = not panel.states
    return (
        made.show_value(looks.VisibilityMode.NEVER if never else looks.VisibilityMode.AUTO)
        .merge_values(merge_values=True)
        .build()
    )


def _logs(_: Panel) -> dashboard.Panel:
    made = logs.Panel().show_time(show_time=True).wrap_log_message(wrap_log_message=False)
    made.enable_log_details(enable_log_details=True).prettify_log_message(prettify_log_message=False)
    return made.sort_order(looks.LogsSortOrder.DESCENDING).build()


def _text(panel: Panel) -> dashboard.Panel:
    return text.Panel().mode(text_looks.TextMode.MARKDOWN).content(panel.text).build()


_MAKERS: Final[Mapping[Show, Callable[[Panel], dashboard.Panel]]] = {
    Show.GRAPH: _graph,
    Show.STAT: _stat,
    Show.GAUGE: _gauge,
    Show.BARS: _bars,
    Show.PIE: _pie,
    Show.TABLE: _table,
    Show.HEATMAP: _heatmap,
    Show.STATES: _states,
    Show.LOGS: _logs,
    Show.TEXT: _text,
}
