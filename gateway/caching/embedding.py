"""A deployment's embeddings for the cache, asked for on behalf of the call whose question it is."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from adapters.cache_questions import embedding_in, embedding_request
from gateway.caching.errands import ErrandFailed
from gateway.embedding.embedder import EmbedderUnavailable
from gateway.signals.cache_telemetry import Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.caching.errands import Errands
    from gateway.call import Call

ON_BEHALF: Final[ContextVar[Call | None]] = ContextVar("the call whose question is embedded", default=None)
"""Set by the cache before it embeds: an embedder knows texts only, but who pays, and who may see the text, is the
call's. What a task begun by the call embeds is on its behalf as well."""

_UNASKED: Final = frozenset({"nobody", "crowded", "closed"})
"""Failures of errands that say something of who asks, or of this gateway."""


class DeploymentEmbeddings:
    """What `gateway.embedding.by_deployment` asks."""

    def __init__(self, errands: Errands, deployment: str, within_s: float) -> None:
        self._errands = errands
        self._deployment = deployment
        self._within_s = within_s

    async def embeddings(self, text: str) -> Sequence[float]:
        """Raises `ErrandFailed`, `ValueError` for an answer that is none, and `EmbedderUnavailable` where nothing was
        asked of the deployment.
        """
        caller = ON_BEHALF.get()
        if caller is None:
            raise ErrandFailed("nobody")
        request = embedding_request(self._deployment, text)
        try:
            errand = self._errands.to(Purpose.EMBEDDING, caller, self._deployment, request, self._within_s)
            told = await self._errands.run(errand)
        except ErrandFailed as why:
            if str(why) in _UNASKED:
                raise EmbedderUnavailable(f"the embedder was not asked: {why}") from why
            raise
        return embedding_in(told.body)
