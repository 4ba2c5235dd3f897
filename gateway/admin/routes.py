"""Every route of the operators' listener in one table, each with who may use it, what it takes and what it answers.

Who may ask is decided by the route that was found, never by a look at the path beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from gateway.admin.answers import Refused
from gateway.errors import RequestError
from gateway.scrubbing import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from gateway.admin.answers import Answer
    from gateway.server import Inbound


class Permission(StrEnum):
    """What a principal of this listener may do. Roles will be sets of these."""

    OPEN = "open"  # nobody is asked who he is
    KNOWN = "known"  # to be told which paths there are
    OPS_READ = "ops:read"
    SPEC_READ = "spec:read"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    OWNERS_READ = "owners:read"
    OWNERS_WRITE = "owners:write"
    LIMITS_READ = "limits:read"
    USAGE_READ = "usage:read"
    USAGE_WRITE = "usage:write"  # what providers billed; never what was used
    DECISIONS_READ = "decisions:read"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    CACHE_READ = "cache:read"
    CACHE_READ_TEXT = "cache:read_text"  # of prompts and answers
    CACHE_WRITE = "cache:write"


class Operator(NamedTuple):
    """Who is asking, and what he may do. `name` is what the log calls him."""

    name: str
    permissions: frozenset[Permission]


class Precondition(StrEnum):
    """What a route does with `If-Match`."""

    NONE = "none"
    HEEDED = "heeded"
    REQUIRED = "required"


class Told(NamedTuple):
    """One answer of a route: what it means, and its shape; None for what is of these `media`, or empty."""

    meaning: str
    shape: Any = None
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, read as far as its route says. `revision` is what `If-Match` names; None for any."""

    inbound: Inbound
    operator: Operator
    names: Mapping[str, str]
    query: Any = None
    body: Any = None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path template. `query` and `body` are msgspec structs; `answers`, by status, are those that say
    what was asked for: of refusals the description tells by itself.
    """

    method: str
    path: str
    permission: Permission
    respond: Callable[[Asked], Awaitable[Answer]]
    summary: str = ""
    query: Any = None
    body: Any = None
    precondition: Precondition = Precondition.NONE
    answers: Mapping[int, Told] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        return self.method != "GET"


# What may stand in a template's place. A path that cannot name anything is not found, and nothing is asked about it.
NAMES: Final = {
    "key_id": re.compile(r"[0-9A-Za-z]{12}"),
    "org": re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}"),
    "name": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}"),
    "request_id": re.compile(r"req_[0-9a-f]{24,32}"),
}


class Resource(NamedTuple):
    """One path template and its routes by method; HEAD is served by GET's."""

    template: str
    routes: dict[str, Route]

    def route(self, method: str) -> Route | None:
        return self.routes.get("GET" if method == "HEAD" else method)

    def not_allowed(self) -> Refused:
        methods = sorted({*self.routes, *(("HEAD",) if "GET" in self.routes else ())})
        allow = ", ".join(methods)
        return Refused(
            f"Use {' or '.join(methods)} for this path.",
            status=405,
            code="method_not_allowed",
            headers=(("allow", allow),),
        )


class Table:
    """The routes. Raises `ValueError` for two of one method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, Resource] = {}
        self._templates: dict[tuple[str, ...], Resource] = {}
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        segments = tuple(route.path.split("/"))
        resource = self._exact.get(route.path) or self._templates.get(segments)
        if resource is None:
            resource = Resource(route.path, {})
            if "{" in route.path:
                self._templates[segments] = resource
            else:
                self._exact[route.path] = resource
        if resource.routes.setdefault(route.method, route) is not route:
            raise ValueError(f"two routes for {route.method} {route.path}")

    def find(self, path: str) -> tuple[Resource, dict[str, str]]:
        """The resource at a raw path and the names in it. Raises `RequestError` 404."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, {}
        segments = path.split("/")
        for template, resource in self._templates.items():
            if len(template) == len(segments) and (names := _names(template, segments)) is not None:
                return resource, names
        raise RequestError(f"Unknown path {printable(path, 200)}.", status=404, code="unknown_url")


def _names(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    names = {}
    for wanted, given in zip(template, segments, strict=True):
        if not wanted.startswith("{"):
            if wanted != given:
                return None
            continue
        name, text = wanted[1:-1], unquote(given, errors="replace")
        if not NAMES[name].fullmatch(text):
            return None
        names[name] = text
    return names
