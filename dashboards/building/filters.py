"""Filters of queries, written out. `{*}` is what every board filters by, `{**}` also its own variables, as far as the
metric before it has such labels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dashboards.building.values import JOB_AND_INSTANCE
from dashboards.catalogue import is_of_engines, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.building.values import Variable

_PLACE: Final = re.compile(r"(?P<series>[\w:]+)?\{(?P<stars>\*\*?)")


def filled(expr: str, variables: Iterable[Variable]) -> str:
    """`expr` as Prometheus reads it, but for the names of variables."""
    own = tuple(variables)

    def written(place: re.Match[str]) -> str:
        series = place["series"] or ""
        labels = (labels_of(series) or frozenset()) if place["stars"] == "**" else frozenset()
        chosen = [f'{one.label}=~"${one.name}"' for one in own if one.label in labels]
        first = [] if is_of_engines(series) else [JOB_AND_INSTANCE]
        return f"{series}{{{','.join([*first, *chosen])}"

    return _PLACE.sub(written, expr)
