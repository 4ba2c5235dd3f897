"""LiteLLM's model groups, aliases and fallbacks as routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.importing.litellm_models import Model, Tables
    from gateway.importing.sections import Notes

# What is reached by one route only at last: LiteLLM goes on from a fallback's own fallbacks, this many deep.
DEEP = 5
WHOLE_CALL = "bounds each attempt there; here, as timeouts.total, all attempts of a call together"


class Wishes(NamedTuple):
    """What a configuration says about all groups, and about each by its name."""

    strategy: str
    attempts: int | None
    total_s: float | None
    first_token_s: float | None
    fallbacks: dict[str, list[str]]
    context_fallbacks: dict[str, list[str]]
    content_fallbacks: dict[str, list[str]]
    default_fallbacks: list[str]
    aliases: dict[str, str]


def routes_of(models: list[Model], wishes: Wishes, tables: Tables, notes: Notes) -> list[dict[str, Any]]:
    """A route for each model group, in the order of the file."""
    groups: dict[str, list[Model]] = {}
    for model in models:
        groups.setdefault(model.group, []).append(model)
    for alias, group in wishes.aliases.items():
        if group not in groups:
            notes.add(f"router_settings.model_group_alias.{alias}", f"stands for {group}, which no model is called")
    return [_Route(name, groups, wishes, tables, notes).made() for name in groups]


class _Route:
    """One group on its way to a route."""

    def __init__(self, name: str, groups: dict[str, list[Model]], wishes: Wishes, tables: Tables, notes: Notes) -> None:
        self._name = name
        self._groups = groups
        self._wishes = wishes
        self._tables = tables
        self._notes = notes

    def made(self) -> dict[str, Any]:
        name, wishes = self._name, self._wishes
        first, later = self._by_order()
        aliases = [alias for alias, group in wishes.aliases.items() if group == name and alias not in self._groups]
        route: dict[str, Any] = {"model": [name, *aliases] if aliases else name}
        if len(first) > 1:
            route["strategy"] = wishes.strategy
        weighs = len(first) > 1 and wishes.strategy == "weighted"
        route["targets"] = [_target(model) if weighs else model.deployment for model in first]
        taken = {model.deployment for model in first}
        general = self._deployments("fallbacks", wishes.fallbacks.get(name, wishes.default_fallbacks), wishes.fallbacks)
        route["fallbacks"] = _others([model.deployment for model in later] + general, taken)
        for ours, theirs, table in (
            ("context_fallbacks", "context_window_fallbacks", wishes.context_fallbacks),
            ("content_fallbacks", "content_policy_fallbacks", wishes.content_fallbacks),
        ):
            route[ours] = _others(self._deployments(theirs, table.get(name, []), table), taken)
        if wishes.attempts is not None:
            route["retry"] = {"attempts": wishes.attempts}
        route["timeouts"] = self._timeouts(first)
        return {key: value for key, value in route.items() if value}

    def _by_order(self) -> tuple[list[Model], list[Model]]:
        """Those that are tried first, and the others from the nearest to the last."""
        models = sorted(self._groups[self._name], key=lambda model: model.order)
        first = [model for model in models if model.order == models[0].order]
        return first, models[len(first) :]

    def _deployments(self, key: str, names: Iterable[str], table: dict[str, list[str]]) -> list[str]:
        """What groups and ids stand for, and what those fall back to in turn."""
        found: list[str] = []
        seen, waiting = {self._name}, [(name, 1) for name in names]
        while waiting:
            name, depth = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            if name in self._groups:
                found += [model.deployment for model in self._groups[name]]
                if key == "fallbacks" and depth < DEEP:
                    waiting += [(inner, depth + 1) for inner in table.get(name, [])]
            elif name in self._tables.by_id:
                found.append(self._tables.by_id[name])
            elif depth == 1:
                self._notes.add(f"{key}.{self._name}", f"names {name}, which no model is called")
        return found

    def _timeouts(self, models: list[Model]) -> dict[str, str]:
        """A route has one of each; where its models differ, the most patient one is kept."""
        found = {}
        for ours, stated, general in (
            ("first_token", [model.first_token_s for model in models], self._wishes.first_token_s),
            ("total", [model.timeout_s for model in models], self._wishes.total_s),
        ):
            known = [seconds for seconds in stated if seconds is not None]
            if len(set(known)) > 1:
                self._notes.add(f"model_list.{self._name}", f"has several limits for {ours}; the longest is kept")
            seconds = max(known, default=general)
            if seconds is not None and ours == "total":
                self._notes.add("timeout", WHOLE_CALL)
            if seconds is not None:
                found[ours] = f"{round(seconds * 1000)}ms" if seconds % 1 else f"{round(seconds)}s"
        return found


def _others(names: Iterable[str], taken: set[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name not in taken]


def _target(model: Model) -> object:
    return model.deployment if model.weight == 1 else {"deployment": model.deployment, "weight": model.weight}
