"""Upstreams from the policy: made per deployment, kept across reloads while what they were made from stays the same."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from adapters import ADAPTERS
from gateway.config import LlamaCppProvider, OpenAIProvider
from gateway.errors import StartError
from gateway.extras import LLAMA, require
from gateway.http_upstream import HttpUpstream
from gateway.prices.whose import provider_of
from gateway.remote_engine import EngineWatch, RemoteEngine
from gateway.transport import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Config, LitellmProvider, ProviderSettings
    from gateway.local.serving.engines import Engines
    from gateway.secret import Secret
    from gateway.upstream import Upstream
    from policies.vocabulary import Deployment

log = logging.getLogger(__name__)

ALL_PERCENT: Final = 100
PROGRESS_PAUSE_S: Final = 2.0
# What a deployment is judged by, not how it is reached; and credentials, of which each upstream has its own.
NO_REACH: Final = frozenset(
    {
        "api_key",
        "api_keys",
        "breaker",
        "discount_ppm",
        "forward_headers",
        "gpu",
        "health",
        "limits",
        "margin_ppm",
        "trace",
    }
)


class Reach(NamedTuple):
    """How a deployment is reached: whatever differs here takes another upstream."""

    settings: tuple[object, ...]
    credential: Secret | None
    model: str


class Made(NamedTuple):
    """An upstream and what it was made from."""

    reach: Reach
    upstream: Upstream


class UpstreamSet:
    """The upstreams of the policy in force, by deployment id. `engines` are there once a policy has run models here."""

    def __init__(self) -> None:
        self._made: dict[str, Made] = {}
        self.engines: Engines | None = None
        self._budget_bytes: int | None = None

    async def take_over(self, config: Config, deployments: Mapping[str, Deployment]) -> dict[str, Upstream]:
        """The upstream of each deployment, new ones started. Raises `StartError`, and then nothing has changed."""
        made: dict[str, Made] = {}
        fresh: list[Upstream] = []
        budget_bytes = self._share(config.engines.memory_bytes)
        try:
            for id_, deployment in deployments.items():
                provider = config.providers[deployment.provider]
                reach = reach_of(provider, deployment)
                kept = self._made.get(id_)
                if kept is not None and kept.reach == reach:
                    made[id_] = kept
                    continue
                upstream = await self._make(deployment, provider)
                made[id_] = Made(reach, upstream)
                fresh.append(upstream)
                await upstream.start()
        except BaseException as error:
            for upstream in fresh:
                await upstream.close()
            self._share(budget_bytes)
            if isinstance(error, StartError | ValueError | OSError):
                raise StartError(f"{id_}: {error}") from error
            raise
        self._made = made
        return {id_: entry.upstream for id_, entry in made.items()}

    async def _make(self, deployment: Deployment, provider: ProviderSettings) -> Upstream:
        """In a thread, since it looks for files."""
        if not isinstance(provider, LlamaCppProvider) or provider.is_elsewhere:
            return await asyncio.to_thread(make_upstream, deployment, provider)
        if self.engines is None:
            self.engines = new_engines()
            self.engines.set_budget(self._budget_bytes)
        return await asyncio.to_thread(local_upstream, deployment, provider, self.engines)

    def _share(self, budget_bytes: int | None) -> int | None:
        """What engines may take together from now on; what it was before."""
        before, self._budget_bytes = self._budget_bytes, budget_bytes
        if self.engines is not None:
            self.engines.set_budget(budget_bytes)
        return before

    def engine_busy_s(self, provider: str) -> float | None:
        """How long a provider's engine has computed since its worker began; None where no engine runs here."""
        engine = None if self.engines is None else self.engines.find(provider)
        return None if engine is None else engine.supervisor.standing.busy_s

    async def close(self) -> None:
        for entry in self._made.values():
            await entry.upstream.close()
        if self.engines is not None:
            await self.engines.close()
        self._made = {}


def reach_of(provider: ProviderSettings, deployment: Deployment) -> Reach:
    fields = sorted(type(provider).model_fields.keys() - NO_REACH)
    settings = (provider.kind, *(getattr(provider, name) for name in fields))
    return Reach(settings, credential_of(provider, deployment), deployment.model)


def credential_of(provider: ProviderSettings, deployment: Deployment) -> Secret | None:
    """The credential that this deployment goes by; None where its provider takes none."""
    return None if isinstance(provider, LlamaCppProvider) else provider.credential(deployment.credential)


def make_upstream(deployment: Deployment, provider: ProviderSettings) -> Upstream:
    """For all that is reached over a network."""
    if isinstance(provider, OpenAIProvider):
        return openai_upstream(deployment, provider)
    if isinstance(provider, LlamaCppProvider):
        return remote_engine(deployment, provider)
    return litellm_upstream(deployment, provider)


def openai_upstream(deployment: Deployment, provider: OpenAIProvider) -> Upstream:
    headers = [(name, value.reveal()) for name, value in provider.headers.items()]
    credential = credential_of(provider, deployment)
    if credential is not None:
        headers.append(("authorization", f"Bearer {credential.reveal()}"))
    pool = Pool(provider.base_url, tuple(headers), max_connections=provider.max_connections)
    host = provider_of("openai", provider.base_url, deployment.model)
    return HttpUpstream(deployment, pool, ADAPTERS["openai_itself" if host in ("openai", "azure") else "openai"])


def remote_engine(deployment: Deployment, provider: LlamaCppProvider) -> RemoteEngine:
    """An engine elsewhere, with a connection of its own for asking how it stands."""
    base_url, key = provider.base_url or "", provider.api_key
    headers = () if key is None else (("authorization", f"Bearer {key.reveal()}"),)
    pool = Pool(base_url, headers, max_connections=provider.max_connections)
    watch = EngineWatch(deployment.name, Pool(base_url, headers, max_connections=1))
    return RemoteEngine(deployment, pool, ADAPTERS["openai"], watch, "" if key is None else key.reveal())


def local_upstream(deployment: Deployment, provider: LlamaCppProvider, engines: Engines) -> Upstream:
    require(LLAMA)  # first: who lacks the engine seldom has the model, and would hear of the model only
    from gateway.local.serving.specs import spec_of  # noqa: PLC0415 - only local models pay for it
    from gateway.local.serving.upstream import LocalUpstream  # noqa: PLC0415 - the same

    return LocalUpstream(deployment, spec_of(deployment.provider, provider), engines)


def new_engines() -> Engines:
    """No engine yet, and the way to make one."""
    from gateway.local.serving.engines import Engines  # noqa: PLC0415 - only local models pay for it
    from gateway.local.serving.supervisor import Supervisor  # noqa: PLC0415 - the same

    return Engines(lambda spec: Supervisor(spec.load, on_progress=Loading(spec.name)))


class Loading:
    """Tells when a provider's model begins to load and when it is there, and on a long way each quarter of it."""

    def __init__(self, provider: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._clock = clock
        self._told_percent = -1
        self._told_s = self._began_s = 0.0

    def __call__(self, percent: int) -> None:
        step = percent // 25 * 25
        if step < self._told_percent:  # a worker that died loads anew
            self._told_percent = -1
        if step <= self._told_percent:
            return
        now = self._clock()
        if self._told_percent < 0:
            self._began_s = now
        if step == ALL_PERCENT:
            log.info("the model of %s is ready after %.1f s", self._provider, now - self._began_s)
        elif self._told_percent < 0 or now - self._told_s >= PROGRESS_PAUSE_S:
            log.info("loading the model of %s: %d %%", self._provider, step)
            self._told_s = now
        self._told_percent = step


def litellm_upstream(deployment: Deployment, provider: LitellmProvider) -> Upstream:
    from gateway.litellm.driver import LitellmUpstream  # noqa: PLC0415 - only a policy that names litellm pays for it

    credential = credential_of(provider, deployment)
    return LitellmUpstream(
        deployment,
        {name: value.reveal() for name, value in provider.settings.items()},
        None if credential is None else credential.reveal(),
        provider.base_url,
    )


DEFAULT_FORWARDED: Final = ("openai-beta", "anthropic-beta", "anthropic-version")


def forwarded_headers(provider: ProviderSettings) -> tuple[str, ...]:
    """The caller's headers that go upstream: what providers define, and what the policy adds for this one."""
    added = provider.forward_headers if isinstance(provider, OpenAIProvider) else ()
    return (*DEFAULT_FORWARDED, *added)
