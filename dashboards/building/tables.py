"""What Grafana does with answers before a table shows them: join, name, order, leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from dashboards.building.values import Show, Source

if TYPE_CHECKING:
    from dashboards.building.values import Panel


def transformations(panel: Panel) -> list[DataTransformerConfig] | None:
    """The steps for a table of `columns`; none where there are none."""
    if panel.show is not Show.TABLE or not panel.columns:
        return None
    if panel.queries[0].source is Source.LOKI:
        return [*_fields_of_lines(panel), _organized(panel)]
    return [DataTransformerConfig(id_val="merge", options={}), _organized(panel)]


def _organized(panel: Panel) -> DataTransformerConfig:
    """Only the columns asked for, in their order, under their titles."""
    renamed = {column.name: column.title for column in panel.columns}
    order = {column.name: index for index, column in enumerate(panel.columns)}
    options = {
        "includeByName": dict.fromkeys(renamed, True),
        "excludeByName": {"Time": True},  # Grafana before 10.3 knows no other way
        "indexByName": order,
        "renameByName": renamed,
    }
    return DataTransformerConfig(id_val="organize", options=options)


def _fields_of_lines(panel: Panel) -> list[DataTransformerConfig]:
    """Loki gives what a query took from a line as one object of texts; its numbers are made numbers again."""
    numbers = [
        column.name for column in panel.columns if column.unit is not None and not column.unit.startswith("date")
    ]
    conversions = [{"targetField": name, "destinationType": "number"} for name in numbers]
    return [
        DataTransformerConfig(id_val="extractFields", options={"source": "labels", "format": "auto", "replace": False}),
        DataTransformerConfig(id_val="convertFieldType", options={"fields": {}, "conversions": conversions}),
    ]
