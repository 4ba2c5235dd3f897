"""The routes of curves: by which risks are reckoned, and going by one that was measured on questions of one's own."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gateway.admin.answers import Answer, as_json
from gateway.admin.cache_routes import CACHE
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.caching.curves import CurveFile, UnsoundCurve
from gateway.errors import RequestError
from policies.cache_curves import Curve, curve_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admin.cache_routes import Caches
    from gateway.caching.curves import Curves

CURVE: Final = f"{CACHE}/curve"
EmbedderId = Annotated[str, Meta(pattern="^[!-~]{1,200}$", max_length=200, description="As entries name it.")]


class CurveQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    embedder: EmbedderId


class CurveToKeep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As `pointsman cache calibrate` writes it. `per_sign` is by the names of signs."""

    embedder: EmbedderId
    at_one: Annotated[float, Meta(ge=-20, le=1000)]
    per_distance: Annotated[float, Meta(ge=1, le=1000)]
    per_next: Annotated[float, Meta(ge=-1000, le=1000)] = 0.0
    per_sign: dict[str, Annotated[float, Meta(ge=-1000, le=1000)]] = {}
    observations: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    wrong: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0


class CurveInForce(Struct, frozen=True, kw_only=True):
    """The log odds of a wrong hit: at a similarity of one, and more per unit of what speaks against it."""

    embedder: str
    at_one: float
    per_distance: float
    per_next: float
    per_sign: dict[str, float]


class CacheCurveRoutes:
    """`caches` is None where no route has one."""

    def __init__(self, caches: "Callable[[], Caches | None]") -> None:
        self._caches = caches

    def routes(self) -> tuple[Route, ...]:
        told = {200: Told("By what risks are reckoned now.", CurveInForce)}
        read, write = Permission.CACHE_READ, Permission.CACHE_WRITE
        return (
            Route("GET", CURVE, read, self._show, "Show the curve of an embedder", CurveQuery, answers=told),
            Route("PUT", CURVE, write, self._keep, "Go by a measured curve", body=CurveToKeep, answers=told),
            Route("DELETE", CURVE, write, self._forget, "Go by the shipped curve again", CurveQuery, answers=told),
        )

    async def _show(self, asked: Asked) -> Answer:
        """Where no route has a cache, the shipped one."""
        caches, embedder = self._caches(), asked.query.embedder
        return _told(embedder, curve_of(embedder) if caches is None else await caches.curves.of(embedder))

    async def _keep(self, asked: Asked) -> Answer:
        body: CurveToKeep = asked.body
        curves = self._curves()
        try:
            await curves.keep(msgspec.convert(msgspec.to_builtins(body), CurveFile))
        except UnsoundCurve as error:
            raise RequestError(f"This is no curve: {error}.", param="per_sign") from error
        return _told(body.embedder, await curves.of(body.embedder))

    async def _forget(self, asked: Asked) -> Answer:
        curves, embedder = self._curves(), asked.query.embedder
        await curves.forget(embedder)
        return _told(embedder, await curves.of(embedder))

    def _curves(self) -> "Curves":
        caches = self._caches()
        if caches is None:
            raise RequestError("No route of this gateway has a cache.", status=404, code="cache_not_configured")
        return caches.curves


def _told(embedder: str, curve: Curve) -> Answer:
    """A curve that was made for no embedder is shown for the one that was asked about."""
    told = CurveInForce(
        embedder=embedder,
        at_one=curve.at_one,
        per_distance=curve.per_distance,
        per_next=curve.per_next,
        per_sign=dict(curve.per_sign),
    )
    return as_json(msgspec.to_builtins(told))
