"""Whether the models of a policy find room in what its engines may take together: asked before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.llama_cpp import LlamaCppProvider
from gateway.config.problems import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.model import Config
    from gateway.config.names import Finding
    from gateway.config.problems import Place

MIB = 1 << 20


def check_engines(config: Config) -> Iterator[Finding]:
    """Findings about models whose files are here and tell their size. Without `engines.memory` there are none."""
    budget_bytes = config.engines.memory_bytes
    if budget_bytes is None:
        return
    needed = dict(_needed(config))
    room = f"engines.memory is {budget_bytes / MIB:,.0f} MiB"
    for name, size in needed.items():
        if size > budget_bytes:
            yield _place(name), f"takes about {size / MIB:,.0f} MiB, and {room}", Severity.ERROR
    pinned = [name for name in needed if _is_pinned(config, name)]
    together = sum(needed[name] for name in pinned)
    if together > budget_bytes and all(needed[name] <= budget_bytes for name in pinned):
        message = f"what is pinned ({', '.join(pinned)}) takes about {together / MIB:,.0f} MiB together, and {room}"
        yield ("engines", "memory"), message, Severity.ERROR


def _needed(config: Config) -> Iterator[tuple[str, int]]:
    """What each model that runs here is reckoned to take, by provider."""
    from gateway.local.engine_check import MissingModel  # noqa: PLC0415 - for policies with a budget only
    from gateway.local.specs import spec_of  # noqa: PLC0415 - the same

    for name, provider in config.providers.items():
        if not isinstance(provider, LlamaCppProvider) or provider.is_elsewhere:
            continue
        try:
            yield name, spec_of(name, provider).needed_bytes
        except (MissingModel, OSError):
            continue  # whoever serves will say so, and here a warning has


def _is_pinned(config: Config, name: str) -> bool:
    provider = config.providers[name]
    return isinstance(provider, LlamaCppProvider) and provider.pinned


def _place(name: str) -> Place:
    return ("providers", name, "model_path")
