"""What routes are called, by each other, by keys and in logs; and what a name in `targets` and `fallbacks` means."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Called(NamedTuple):
    """What a route says of its names: its own or None, and the models that it answers for."""

    own: str | None
    models: tuple[str, ...]

    @property
    def stem(self) -> str:
        return self.own or next(iter(self.models), "")


def route_names(routes: Iterable[Called]) -> tuple[str, ...]:
    """A name for each route: its own, else its first model, with a number where earlier routes begin with that too."""
    seen: Counter[str] = Counter()
    names = []
    for route in routes:
        seen[route.stem] += 1
        count = seen[route.stem]
        names.append(route.stem if count == 1 else f"{route.stem}#{count}")
    return tuple(names)


def named_routes(routes: Sequence[Called], name: str) -> tuple[int, ...]:
    """The routes that another may mean by `name`: one, none, or several that share a first model."""
    return tuple(index for index, route in enumerate(routes) if route.stem == name)


def routes_by_word(routes: Sequence[Called]) -> Mapping[str, frozenset[str]]:
    """What a key may say of its routes: a route's own name, or a model, which stands for every route that has it."""
    words: dict[str, set[str]] = {}
    for route, name in zip(routes, route_names(routes), strict=True):
        for word in (*route.models, *([route.own] if route.own else ())):
            words.setdefault(word, set()).add(name)
    return {word: frozenset(names) for word, names in words.items()}
