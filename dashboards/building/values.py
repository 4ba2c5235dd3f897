"""What a board shows, as plain values that know nothing of Grafana's JSON; `grafana` turns them into it.

In a query `{*}` and `{**}` stand for filters: see `filters`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

JOB_AND_INSTANCE: Final = 'job=~"$job",instance=~"$instance"'
GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = "green", "yellow", "orange", "red", "blue", "purple", "text"


class Source(StrEnum):
    """Who answers a query; each is a variable of the boards that need it."""

    PROMETHEUS = "prometheus"
    LOKI = "loki"
    TEMPO = "tempo"

    @property
    def variable(self) -> str:
        return "datasource" if self is Source.PROMETHEUS else self.value


class Show(StrEnum):
    """How a panel shows what its queries say, by Grafana's name of the plugin."""

    GRAPH = "timeseries"
    STAT = "stat"
    GAUGE = "gauge"
    BARS = "bargauge"
    PIE = "piechart"
    TABLE = "table"
    HEATMAP = "heatmap"
    STATES = "state-timeline"
    LOGS = "logs"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `empty` says why a healthy gateway may have nothing to say to it."""

    expr: str
    legend: str = ""
    source: Source = Source.PROMETHEUS
    instant: bool = False
    exemplars: bool = False
    empty: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click on a value leads."""

    title: str
    url: str
    new_tab: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the field as the datasource names it, and how it is shown."""

    name: str
    title: str
    unit: str | None = None
    decimals: int | None = None
    steps: tuple[tuple[float | None, str], ...] = ()
    links: tuple[Link, ...] = ()
    width: int | None = None
    bar: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What a number means, for stats and timelines of states."""

    value: int
    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Override:
    """One series of a graph that looks different: another colour, another unit on the right, dashes for a limit."""

    series: str
    colour: str | None = None
    right_unit: str | None = None
    dashed: bool = False
    unstacked: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `steps` are thresholds, the first without a bound; `calc` is what a stat makes of its series."""

    show: Show
    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    steps: tuple[tuple[float | None, str], ...] = ()
    steps_shown: bool = False
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    stacked: bool = False
    calc: str = "lastNotNull"
    calcs: tuple[str, ...] = ("mean", "max")
    trend: bool = True
    states: tuple[State, ...] = ()
    overrides: tuple[Override, ...] = ()
    links: tuple[Link, ...] = ()
    columns: tuple[Column, ...] = ()
    sort_by: str | None = None
    none_text: str | None = None
    text: str = ""
    log_scale: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, laid from left to right. `folded` ones are asked for only when opened."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a board, of the values that `label` has in `series`: a name, or a pattern of names."""

    name: str
    label: str
    series: str
    about: str


@dataclass(frozen=True, slots=True)
class Box:
    """A text to type at the top of a board."""

    name: str
    title: str
    about: str


@dataclass(frozen=True, slots=True)
class Note:
    """A moment worth marking on every graph: `expr` is above 0 then."""

    name: str
    expr: str
    colour: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `variables` come after datasource, job and instance."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    boxes: tuple[Box, ...] = ()
    sources: tuple[Source, ...] = (Source.PROMETHEUS,)
    notes: tuple[Note, ...] = ()
    since: str = "now-6h"
    refresh: str = "30s"
    tags: tuple[str, ...] = field(default=())

    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]


def up_to(*steps: tuple[float, str], first: str = GREEN) -> tuple[tuple[float | None, str], ...]:
    """Thresholds: `first` below all, then each colour from its bound on."""
    return ((None, first), *steps)


def board_link(uid: str, title: str, variables: str = "") -> Link:
    """A link to another board over the same time and gateways; `variables` are more of its URL."""
    kept = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
    return Link(title, f"/d/{uid}?{kept}{'&' + variables if variables else ''}")
