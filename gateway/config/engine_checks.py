"""Whether the models of a policy can be loaded, as far as their files tell, and find room in what engines may take."""

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
    """Findings about models whose files are here. What cannot be used is for whoever serves to refuse, on the machine
    that has the files; that a model finds no room is true anywhere.
    """
    needed: dict[str, int] = {}
    for name, found in _examined(config):
        if isinstance(found, int):
            needed[name] = found
        else:
            yield ("providers", name), found, Severity.WARNING
    budget_bytes = config.engines.memory_bytes
    if budget_bytes is None:
        return
    room = f"engines.memory is {budget_bytes / MIB:,.0f} MiB"
    for name, size in needed.items():
        if size > budget_bytes:
            yield _place(name), f"takes about {size / MIB:,.0f} MiB, and {room}", Severity.ERROR
    pinned = [name for name in needed if _is_pinned(config, name)]
    together = sum(needed[name] for name in pinned)
    if together > budget_bytes and all(needed[name] <= budget_bytes for name in pinned):
        message = f"what is pinned ({', '.join(pinned)}) takes about {together / MIB:,.0f} MiB together, and {room}"
        yield ("engines", "memory"), message, Severity.ERROR


def _examined(config: Config) -> Iterator[tuple[str, int | str]]:
    """By provider what its model is reckoned to take, or why it cannot be used."""
    here = {name: p for name, p in config.providers.items() if isinstance(p, LlamaCppProvider) and not p.is_elsewhere}
    if not here:
        return
    from gateway.local.serving.engine_check import MissingModel  # noqa: PLC0415 - for policies with local models only
    from gateway.local.serving.specs import spec_of  # noqa: PLC0415 - the same

    for name, provider in here.items():
        try:
            yield name, spec_of(name, provider).needed_bytes
        except MissingModel as problem:
            yield name, str(problem)
        except OSError:
            continue  # no file: said of its name already


def _is_pinned(config: Config, name: str) -> bool:
    provider = config.providers[name]
    return isinstance(provider, LlamaCppProvider) and provider.pinned


def _place(name: str) -> Place:
    return ("providers", name, "model_path")
