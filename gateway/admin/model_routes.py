"""The routes of local models: which are in memory, and loading and unloading them by hand."""

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from gateway.admin.answers import Answer, as_json
from gateway.admin.routes import Asked, Permission, Route, Told
from gateway.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.local.serving.engines import Engines
    from gateway.local.serving.keeping import Engine

MODELS: Final = "/admin/v1/models"


class LocalModel(Struct, frozen=True, kw_only=True):
    """The model of one provider. `keep_alive_s` null: for ever. `cold_start_s` is how long its last load took."""

    name: str
    task: str
    state: str
    loaded_percent: int
    pinned: bool
    keep_alive_s: float | None
    on_demand: bool
    memory_bytes: int
    in_engine: int
    slots: int
    loads: int
    restarts: int
    cold_start_s: float | None


class LocalModelList(Struct, frozen=True, kw_only=True):
    """In the order of the policy. `memory_bytes` is what they may take together; null: no bound."""

    models: list[LocalModel]
    memory_bytes: int | None


class ModelRoutes:
    def __init__(self, engines: "Callable[[], Engines | None]") -> None:
        self._engines = engines

    def routes(self) -> tuple[Route, ...]:
        listed = {200: Told("The models that this process runs itself.", LocalModelList)}
        loading = {202: Told("It is being loaded, or is there already.", LocalModel)}
        gone = {200: Told("It is not in memory any more.", LocalModel)}
        write = Permission.MODELS_WRITE
        return (
            Route("GET", MODELS, Permission.MODELS_READ, self._list, "List local models", answers=listed),
            Route("POST", f"{MODELS}/{{name}}/load", write, self._load, "Load a local model", answers=loading),
            Route("POST", f"{MODELS}/{{name}}/unload", write, self._unload, "Unload a local model", answers=gone),
        )

    async def _list(self, _: Asked) -> Answer:
        engines = self._engines()
        models = [] if engines is None else [_shown(engine) for engine in engines]
        budget_bytes = None if engines is None else engines.budget_bytes
        return as_json(msgspec.to_builtins(LocalModelList(models=models, memory_bytes=budget_bytes)))

    async def _load(self, asked: Asked) -> Answer:
        engine = self._find(asked)
        if not engine.is_at_hand:
            engine.load()
        return as_json(msgspec.to_builtins(_shown(engine)), 202)

    async def _unload(self, asked: Asked) -> Answer:
        """Not while it works: calls under way would be lost."""
        engine = self._find(asked)
        if engine.places:
            message = f"{engine.places} calls are under way or wait; take the model out of its routes first."
            raise RequestError(message, status=409, code="model_busy")
        await engine.unload()
        return as_json(msgspec.to_builtins(_shown(engine)))

    def _find(self, asked: Asked) -> "Engine":
        engines, name = self._engines(), asked.names["name"]
        engine = None if engines is None else engines.find(name)
        if engine is None:
            raise RequestError("No provider of this name runs a model here.", status=404, code="model_not_found")
        return engine


def _shown(engine: "Engine") -> LocalModel:
    spec, supervisor = engine.spec, engine.supervisor
    return LocalModel(
        name=spec.name,
        task=spec.load.task,
        state=engine.state.value,
        loaded_percent=supervisor.percent,
        pinned=spec.keeping.pinned,
        keep_alive_s=spec.keeping.keep_alive_s,
        on_demand=spec.keeping.on_demand,
        memory_bytes=spec.needed_bytes,
        in_engine=engine.places,
        slots=engine.slots,
        loads=engine.loads,
        restarts=supervisor.restarts,
        cold_start_s=None if supervisor.cold_start_s is None else round(supervisor.cold_start_s, 3),
    )
