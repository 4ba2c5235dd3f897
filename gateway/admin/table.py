"""All routes of the operators' listener, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.admin.cache_curve_routes import CacheCurveRoutes
from gateway.admin.cache_dump_routes import CacheDumpRoutes
from gateway.admin.cache_routes import CacheRoutes
from gateway.admin.decision_routes import DecisionRoutes
from gateway.admin.event_routes import EventRoutes
from gateway.admin.invoice_routes import InvoiceRoutes
from gateway.admin.key_routes import KeyRoutes
from gateway.admin.limit_routes import LimitRoutes
from gateway.admin.model_routes import ModelRoutes
from gateway.admin.openapi import SpecRoutes
from gateway.admin.owner_routes import TEAM, USER, MemberRoutes, OrgRoutes
from gateway.admin.request_routes import RequestRoutes
from gateway.admin.usage_routes import UsageRoutes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.admin.cache_routes import Caches
    from gateway.admin.routes import Route
    from gateway.explaining.recent import RecentDecisions
    from gateway.generation import Generation
    from gateway.keys.service import KeyService
    from gateway.live_view import LiveView
    from gateway.local.serving.engines import Engines
    from gateway.records.live_events import LiveEvents
    from gateway.state.limits.store import LimitStore


def no_engines() -> None:
    """Where no model runs."""


async def nobody() -> None:
    """Hears of invoices."""


def no_caches() -> None:
    """Where no route has one."""


class Parts(NamedTuple):
    """What the routes look at and change."""

    live: LiveView
    keys: KeyService
    current: Callable[[], Generation]
    limits: LimitStore
    decisions: RecentDecisions
    events: LiveEvents
    engines: Callable[[], Engines | None] = no_engines
    caches: Callable[[], Caches | None] = no_caches
    invoices: Callable[[], Awaitable[None]] = nobody


def all_routes(parts: Parts) -> tuple[Route, ...]:
    routes = (
        *parts.live.routes(),
        *KeyRoutes(parts.keys).routes(),
        *OrgRoutes(parts.keys).routes(),
        *MemberRoutes(parts.keys, TEAM).routes(),
        *MemberRoutes(parts.keys, USER).routes(),
        *LimitRoutes(parts.current, parts.keys.stored, parts.limits).routes(),
        *UsageRoutes(parts.keys.database).routes(),
        *InvoiceRoutes(parts.keys.database, parts.invoices).routes(),
        *DecisionRoutes(parts.decisions).routes(),
        *RequestRoutes(parts.decisions, parts.keys.database).routes(),
        *EventRoutes(parts.events).routes(),
        *ModelRoutes(parts.engines).routes(),
        *CacheRoutes(parts.caches).routes(),
        *CacheDumpRoutes(parts.caches).routes(),
        *CacheCurveRoutes(parts.caches).routes(),
    )
    return (*routes, *SpecRoutes(routes).routes())
