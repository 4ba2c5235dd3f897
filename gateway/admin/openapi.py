"""The admin API described as OpenAPI 3.1, from the table of routes that serves it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.admin.answers import JSON, Answer
from gateway.admin.reading import ENTITY_TAG
from gateway.admin.routes import NAMES, Permission, Precondition, Route, Told
from gateway.admin.shapes import LIMIT_ENTRY, Problems
from gateway.config.limits import OwnLimits
from gateway.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.admin.routes import Asked

SPEC: Final = "/admin/v1/openapi.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
REFERENCE: Final = "#/components/schemas/{name}"
DESCRIPTION: Final = """\
Every request needs the admin token as a bearer, except /health/live. Where no token is configured, /health, /metrics
and /deployments answer on loopback, and nothing else does.

Writes that name an ETag in If-Match are done only while the record is as it was read. There is no Idempotency-Key:
to repeat an answer with a secret in it, the gateway would have to keep the secret. Names are unique within an org, so a
creation that is sent twice makes one record and answers 409 the second time; who lost a new key's secret rotates it.
"""
PATH_NAMES: Final = {
    "key_id": "The public part of a key.",
    "org": "An org.",
    "name": "A team, a user, or a local model's provider; / as %2F.",
    "request_id": "The x-request-id of an answer.",
}
MADE: Final = {"key_id": "key/id"}
"""Where names of paths stand in the answer that tells what was made."""
REFUSALS: Final = {
    400: "The request is wrong; `param` says where.",
    401: "The admin token is missing or wrong.",
    403: "No admin token is configured, or it does not permit this.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "Something else is in the way, or the policy file has it.",
    412: "It was changed since it was read.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON, or is compressed.",
    428: "If-Match is missing.",
    429: "Too many wrong tokens from this address.",
    500: "A bug of the gateway's.",
    503: "The database or the store cannot be asked now.",
}


class SpecRoutes:
    """The description of `others`, and of itself."""

    def __init__(self, others: Sequence[Route]) -> None:
        told = {200: Told("The description.", media=(JSON,))}
        self._own = Route("GET", SPEC, Permission.SPEC_READ, self._show, "Describe this API", answers=told)
        self._all = (*others, self._own)
        self._rendered: asyncio.Task[bytes] | None = None

    def routes(self) -> tuple[Route, ...]:
        return (self._own,)

    async def _show(self, _: Asked) -> Answer:
        if self._rendered is None:
            self._rendered = asyncio.create_task(asyncio.to_thread(rendered, self._all))
        return Answer(200, JSON, await asyncio.shield(self._rendered))


def rendered(routes: Sequence[Route]) -> bytes:
    return msgspec.json.encode(document(routes))


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The description. Blocks: it builds the schema of limits."""
    paths: dict[str, dict[str, Any]] = {}
    components = _components(routes)
    for route in routes:
        operation = paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
        if 201 in route.answers:
            operation["responses"]["201"]["links"] = _links(route, routes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pointsman admin API", "version": VERSION, "description": DESCRIPTION},
        "jsonSchemaDialect": DIALECT,
        "security": [{"admin_token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in _queries(routes)},
            "securitySchemes": {"admin_token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _components(routes: Sequence[Route]) -> dict[str, Any]:
    shapes = [
        shape for route in routes for shape in (route.query, route.body, *_told_shapes(route)) if shape is not None
    ]
    _, components = msgspec.json.schema_components([*dict.fromkeys(shapes), Problems], ref_template=REFERENCE)
    return components | {LIMIT_ENTRY: OwnLimits.model_json_schema(by_alias=True)}


def _told_shapes(route: Route) -> Iterator[Any]:
    return (told.shape for told in route.answers.values())


def _queries(routes: Sequence[Route]) -> set[str]:
    return {route.query.__name__ for route in routes if route.query is not None}


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _id(route),
        "summary": route.summary,
        "x-permission": route.permission.value,
        "parameters": [*_path_parameters(route), *_query_parameters(route, components), *_precondition(route)],
        "responses": {str(status): _response(told, route) for status, told in sorted(_answers(route).items())},
    }
    if route.permission is Permission.OPEN:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _reference(route.body.__name__)}}}
    return operation


def _id(route: Route) -> str:
    return re.sub(r"[^a-z]+", "_", route.summary.lower()).strip("_")


def _links(made: Route, routes: Sequence[Route]) -> dict[str, Any]:
    """From what was made to all that can be done with it."""
    links = {}
    for route in routes:
        if route.path.startswith(f"{made.path}/{{"):
            names = re.findall(r"\{(\w+)\}", route.path)
            where = {name: ("name" if names == ["org"] else MADE.get(name, name)) for name in names}
            parameters = {f"path.{name}": f"$response.body#/{place}" for name, place in where.items()}
            links[_id(route)] = {"operationId": _id(route), "parameters": parameters}
    return links


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", route.path):
        schema = {"type": "string", "pattern": f"^{NAMES[name].pattern}$"}
        yield {"name": name, "in": "path", "required": True, "description": PATH_NAMES[name], "schema": schema}


def _query_parameters(route: Route, components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if route.query is None:
        return
    for name, schema in components[route.query.__name__]["properties"].items():
        yield {"name": name, "in": "query", "schema": schema}


def _precondition(route: Route) -> Iterator[dict[str, Any]]:
    if route.precondition is not Precondition.NONE:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": route.precondition is Precondition.REQUIRED,
            "description": "The ETag of the record as it was read, or *.",
            "schema": {"type": "string", "pattern": rf"^(\*|{ENTITY_TAG})$"},
        }


def _answers(route: Route) -> dict[int, Told]:
    """The good ones, and every refusal that this route can come to."""
    statuses = {500}
    if route.permission is not Permission.OPEN:
        statuses |= {401, 403, 429}
    if route.path.startswith("/admin/"):
        statuses |= {400, 503}
    if "{" in route.path or route.writes:
        statuses |= {404, 409}
    if route.body is not None:
        statuses |= {408, 413, 415}
    if route.precondition is not Precondition.NONE:
        statuses.add(412)
    if route.precondition is Precondition.REQUIRED:
        statuses.add(428)
    return {status: Told(REFUSALS[status], Problems) for status in statuses} | dict(route.answers)


def _response(told: Told, route: Route) -> dict[str, Any]:
    response: dict[str, Any] = {"description": told.meaning}
    if told.shape is not None:
        response["content"] = {JSON: {"schema": _reference(told.shape.__name__)}}
    elif told.media:
        response["content"] = {media: {} for media in told.media}
    if told.shape is not None and hasattr(told.shape, "revision") and "{" in route.path:
        response["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Its revision."}}
    return response


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=name)}
