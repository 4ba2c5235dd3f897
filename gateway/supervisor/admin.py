"""The operators' listener of several workers: their numbers added up, their states side by side, the rest passed on.

Who may ask is checked here, where an address can be told from another, and by the worker again.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector

from gateway.admin.answers import JSON, Answer, Unavailable, as_json
from gateway.admin.decision_routes import DECISIONS, DecisionQuery
from gateway.admin.event_routes import EVENTS, EventQuery
from gateway.admin.gate import gate_of
from gateway.admin.request_routes import REQUESTS
from gateway.admin.routes import Permission, Route
from gateway.errors import RequestError
from gateway.operations import Operations
from gateway.supervisor.following import follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.admin.routes import Asked
    from gateway.secret import Secret
    from gateway.server import Inbound, Outbound
    from gateway.supervisor.listening import WorkerMetrics
    from gateway.supervisor.worker import Worker

ASK_WITHIN_S: Final = 5.0
PASS_ON_WITHIN_S: Final = 60.0
BODY_BYTES_MAX: Final = 4 << 20
HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "expect")
)
SET_HERE: Final = HOP_BY_HOP | {"content-type", "cache-control", "date", "server"}


class SupervisorAdmin:
    """Made before the workers are up; `draining` is set when they are told to stop."""

    def __init__(self, workers: Sequence[Worker], token: Secret | None, metrics: WorkerMetrics) -> None:
        self.draining = False
        self._metrics = metrics
        self._workers = workers
        self._sessions: dict[int, ClientSession] = {}
        self.operations = Operations(self.routes(), gate_of(token), self._pass_on)

    def routes(self) -> tuple[Route, ...]:
        """What is answered here; the workers have the rest."""
        return (
            Route("GET", "/health/live", Permission.OPEN, self._live),
            Route("GET", "/health/ready", Permission.OPS_READ, self._ready),
            Route("GET", "/metrics", Permission.OPS_READ, self._show_metrics),
            Route("GET", "/deployments", Permission.OPS_READ, self._deployments),
            Route("GET", "/workers", Permission.OPS_READ, self._show_workers),
            Route("GET", DECISIONS, Permission.DECISIONS_READ, self._decisions, query=DecisionQuery),
            Route("GET", EVENTS, Permission.DECISIONS_READ, self._events, query=EventQuery),
            Route("GET", f"{DECISIONS}/{{request_id}}", Permission.DECISIONS_READ, self._decision),
            Route("GET", f"{REQUESTS}/{{request_id}}", Permission.DECISIONS_READ, self._request),
        )

    async def __call__(self, inbound: Inbound) -> Outbound:
        return await self.operations(inbound)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    # -- answered here ---------------------------------------------------------------------------------------------

    async def _live(self, _: Asked) -> Answer:
        return as_json({"status": "live"})

    async def _ready(self, asked: Asked) -> Answer:
        """Ready while any worker is: the others' share of the port goes to it."""
        if self.draining:
            return as_json({"status": "draining"}, 503)
        answers = await self._ask_all("/health/ready", asked.inbound)
        shown = {slot: msgspec.json.decode(body) for slot, (_, body) in answers.items()}
        is_ready = any(status == HTTPStatus.OK for status, _ in answers.values())
        return as_json({"status": "ready" if is_ready else "starting", "workers": shown}, 200 if is_ready else 503)

    async def _show_metrics(self, asked: Asked) -> Answer:
        content_type, body = await self._metrics.scrapes.scrape(asked.inbound.headers.get("Accept", ""))
        return Answer(200, content_type, body)

    async def _deployments(self, asked: Asked) -> Answer:
        answers = await self._ask_all("/deployments", asked.inbound)
        return as_json({"workers": {slot: msgspec.json.decode(body) for slot, (_, body) in answers.items()}})

    async def _decisions(self, asked: Asked) -> Answer:
        """Every worker's latest together, the newest first."""
        query: DecisionQuery = asked.query
        answers = (await self._ask_all(asked.inbound.target, asked.inbound)).values()
        found = [
            decision
            for status, body in answers
            if status == HTTPStatus.OK
            for decision in msgspec.json.decode(body)["decisions"]
        ]
        found.sort(key=lambda decision: decision["at_ms"], reverse=True)
        return as_json({"decisions": found[: query.limit]})

    async def _decision(self, asked: Asked) -> Answer:
        """Of the worker that served the call."""
        answers = list((await self._ask_all(asked.inbound.target, asked.inbound)).values())
        for status, body in sorted(answers, key=lambda answer: answer[0] != HTTPStatus.OK):
            return Answer(status, JSON, body)
        raise Unavailable("No worker is ready.", "not_ready")

    async def _request(self, asked: Asked) -> Answer:
        """Of the worker that served the call, who knows more than the ledger; without it any other's."""
        answers = list((await self._ask_all(asked.inbound.target, asked.inbound)).values())
        for status, body in sorted(answers, key=_knows_least):
            return Answer(status, JSON, body)
        raise Unavailable("No worker is ready.", "not_ready")

    async def _events(self, asked: Asked) -> Answer:
        """Every worker's together, in the order of time."""
        ready = {str(worker.place.slot): worker for worker in self._workers if worker.is_ready}

        async def ask(slot: str, path: str, within_s: float) -> bytes | None:
            answer = await self._ask(ready[slot], path, asked.inbound, within_s)
            return answer[1] if answer is not None and answer[0] == HTTPStatus.OK else None

        return as_json((await follow(list(ready), asked.query, ask))._asdict())

    async def _show_workers(self, _: Asked) -> Answer:
        return as_json(
            [
                {"slot": worker.place.slot, "pid": worker.pid, "ready": worker.is_ready, "restarts": worker.restarts}
                for worker in self._workers
            ]
        )

    async def _ask_all(self, path: str, inbound: Inbound) -> dict[str, tuple[int, bytes]]:
        """Every ready worker's answer by slot; one that does not answer in time is left out."""
        ready = [worker for worker in self._workers if worker.is_ready]
        answers = await asyncio.gather(*(self._ask(worker, path, inbound) for worker in ready))
        return {str(w.place.slot): answer for w, answer in zip(ready, answers, strict=True) if answer is not None}

    async def _ask(
        self, worker: Worker, path: str, inbound: Inbound, within_s: float = ASK_WITHIN_S
    ) -> tuple[int, bytes] | None:
        headers = {"Host": "localhost"}
        if "Authorization" in inbound.headers:
            headers["Authorization"] = inbound.headers["Authorization"]
        try:
            async with self._session(worker).get(
                f"http://localhost{path}", headers=headers, timeout=ClientTimeout(within_s)
            ) as answer:
                return answer.status, await answer.read()
        except (ClientError, TimeoutError, OSError):
            return None

    # -- passed on -------------------------------------------------------------------------------------------------

    async def _pass_on(self, inbound: Inbound) -> Answer:
        """The first ready worker's answer: what it changes, the others learn as other nodes would."""
        worker = next((worker for worker in self._workers if worker.is_ready), None)
        if worker is None:
            raise Unavailable("No worker is ready.", "not_ready")
        body = await inbound.read(BODY_BYTES_MAX)
        headers = [(name, value) for name, value in inbound.headers.items() if name.lower() not in HOP_BY_HOP]
        headers.append(("Host", inbound.headers.get("Host", "")))
        try:
            async with self._session(worker).request(
                inbound.method,
                f"http://localhost{inbound.target}",
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=ClientTimeout(PASS_ON_WITHIN_S),
            ) as answer:
                content = await answer.read()
                kept = [(name.lower(), value) for name, value in answer.headers.items()]
                kept = [(name, value) for name, value in kept if name not in SET_HERE]
                return Answer(answer.status, answer.headers.get("Content-Type", JSON), content, tuple(kept))
        except (ClientError, TimeoutError, OSError, ValueError):
            raise RequestError("The worker did not answer.", status=502, code="worker_failed") from None

    def _session(self, worker: Worker) -> ClientSession:
        slot = worker.place.slot
        session = self._sessions.get(slot)
        if session is None:
            connector = UnixConnector(str(worker.place.admin_socket))
            session = self._sessions[slot] = ClientSession(
                connector=connector, auto_decompress=False, skip_auto_headers=("User-Agent", "Content-Type")
            )
        return session


def _knows_least(answer: tuple[int, bytes]) -> int:
    status, body = answer
    if status != HTTPStatus.OK:
        return 2
    return 0 if msgspec.json.decode(body).get("decision") is not None else 1
