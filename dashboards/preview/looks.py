"""Colours of Grafana's dark theme, and what a panel's JSON says of colours: thresholds, mappings, overrides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

CANVAS, PANEL, BORDER, TEXT, FAINT, GRID = "#111217", "#181b1f", "#2b2e35", "#d6d7e0", "#8e909c", "#282b31"
NAMED: Final = {
    "green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
    "purple": "#b877d9", "text": "#ccccdc", "grey": "#8e909c", "gray": "#8e909c", "transparent": FAINT,
    "dark-green": "#37872d", "dark-red": "#c4162a", "dark-blue": "#1f60c4", "dark-yellow": "#e0b400",
    "semi-dark-green": "#56a64b", "semi-dark-red": "#e02f44", "light-blue": "#8ab8ff", "super-light-blue": "#c0d8ff",
}  # fmt: skip
PALETTE: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#c0a0f0", "#37872d", "#fade2a",
    "#56d2c8", "#ffa6b0", "#96d98d", "#ffcb7d", "#c4162a", "#1f60c4", "#8f3bb8", "#b0b4c0",
)  # fmt: skip


def colour(name: str | None) -> str:
    if not name:
        return TEXT
    return NAMED.get(name, name if name.startswith("#") else TEXT)


def defaults_of(panel: Json) -> Json:
    found: Json = panel.get("fieldConfig", {}).get("defaults", {})
    return found


def threshold_colour(steps: list[Json] | None, value: float) -> str:
    """The colour of the last step that the value has reached."""
    chosen: str | None = None
    for step in steps or ():
        if step.get("value") is None or value >= step["value"]:
            chosen = step["color"]
    return colour(chosen)


def steps_of(field: Json) -> list[Json]:
    steps: list[Json] = field.get("thresholds", {}).get("steps", [])
    return steps


def mapped(field: Json, value: float) -> tuple[str, str] | None:
    """The text and colour that a mapping gives the value."""
    for mapping in field.get("mappings", ()):
        if mapping.get("type") == "value":
            found = mapping["options"].get(str(round(value)))
            if found is not None and value == round(value):
                return found.get("text", ""), colour(found.get("color"))
    return None


def properties_of(panel: Json, name: str) -> Json:
    """What the overrides say of the field of that name, later ones over earlier ones."""
    found: Json = {}
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        if _matches(override["matcher"], name):
            found.update(_properties(override))
    return found


def _matches(matcher: Json, name: str) -> bool:
    if matcher["id"] == "byName":
        return bool(matcher["options"] == name)
    if matcher["id"] == "byRegexp":
        return re.search(str(matcher["options"]).strip("/"), name) is not None
    return False


def _properties(override: Json) -> Iterator[tuple[str, Any]]:
    for one in override["properties"]:
        yield one["id"], one["value"]


def series_colour(panel: Json, name: str, index: int) -> str:
    fixed = properties_of(panel, name).get("color")
    if fixed is not None and fixed.get("fixedColor"):
        return colour(fixed["fixedColor"])
    return PALETTE[index % len(PALETTE)]
