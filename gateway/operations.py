"""The second listener, for operators: every route in one table, each with the permission that it takes.

It shares nothing with the data plane but the process: no virtual key opens it, and the admin token opens nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.admin import audit
from gateway.admin.answers import refused
from gateway.admin.problems import problem_of
from gateway.admin.reading import read_body, read_precondition, read_query
from gateway.admin.routes import Asked, Permission, Table
from gateway.errors import GatewayError, RequestError
from gateway.server import Outbound, render_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.admin.answers import Answer
    from gateway.admin.gate import Gate
    from gateway.admin.routes import Resource, Route
    from gateway.server import Inbound

log = logging.getLogger(__name__)

NO_CONTENT = 204


class Operations:
    """Answers by its table. What is not in it goes `beyond`, where there is such a thing, once the gate is passed."""

    def __init__(
        self,
        routes: Iterable[Route],
        gate: Gate,
        beyond: Callable[[Inbound], Awaitable[Answer]] | None = None,
    ) -> None:
        self.table = Table(routes)
        self._gate = gate
        self._beyond = beyond

    async def __call__(self, inbound: Inbound) -> Outbound:
        try:
            answer = await self._answer(inbound)
        except GatewayError as error:
            answer = refused(error)
        except Exception as error:
            problem = problem_of(error)
            if problem.status >= 500:
                log.exception("a request of an operator failed")
            answer = refused(problem)
        return outbound(inbound, answer)

    async def _answer(self, inbound: Inbound) -> Answer:
        path = inbound.target.partition("?")[0]
        try:
            resource, names = self.table.find(path)
        except RequestError:
            self._gate.admit(inbound, Permission.KNOWN)  # which paths there are is not told to everybody
            if self._beyond is None:
                raise
            return await self._beyond(inbound)
        route = self._route(inbound, resource)
        asked = Asked(inbound, self._gate.admit(inbound, route.permission), names)
        return await (_write(route, asked) if route.writes else _perform(route, asked))

    def _route(self, inbound: Inbound, resource: Resource) -> Route:
        route = resource.route(inbound.method)
        if route is None:
            is_open = any(route.permission is Permission.OPEN for route in resource.routes.values())
            self._gate.admit(inbound, Permission.OPEN if is_open else Permission.KNOWN)
            raise resource.not_allowed()
        return route


async def _write(route: Route, asked: Asked) -> Answer:
    """As `_perform`, with a line in the log however it ends."""
    outcome, about = "failed internal_error", asked.inbound.target.partition("?")[0]
    try:
        answer = await _perform(route, asked)
        outcome, about = f"done {answer.status}", audit.object_of(about, answer)
        return answer
    except asyncio.CancelledError:
        outcome = "unknown client_disconnected"
        raise
    except Exception as error:
        problem = problem_of(error)
        outcome = f"refused {problem.status} {problem.code}"
        raise
    finally:
        audit.note(asked.operator.name, asked.inbound.peer(), f"{route.method} {route.path}", about, outcome)


async def _perform(route: Route, asked: Asked) -> Answer:
    inbound = asked.inbound
    query = read_query(inbound, route.query)
    revision = read_precondition(inbound, route.precondition)
    body = None if route.body is None else await read_body(inbound, route.body)
    return await route.respond(replace(asked, query=query, body=body, revision=revision))


def outbound(inbound: Inbound, answer: Answer) -> Outbound:
    headers = [("cache-control", "no-store"), *answer.headers]
    if answer.status != NO_CONTENT:
        headers = [("content-type", answer.content_type), ("content-length", str(len(answer.body))), *headers]
    return Outbound(inbound, render_head(answer.status, headers, close=not inbound.keep_alive) + answer.body)
