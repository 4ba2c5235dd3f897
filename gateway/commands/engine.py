"""`pointsman engine`: one model served by itself on a machine that has the GPU, for gateways elsewhere.

It is the same application under a policy that is made up here: one provider, one route, one key. So limits, streams,
errors, drain and signals are what they are in a gateway, and what a policy file may not say cannot be said here either.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import uvloop

from gateway.commands.engine_model import name_of
from gateway.commands.serve import Manner, Service
from gateway.config import Severity, examine_text
from gateway.config.quantities import address
from gateway.engine_view import PATH, EngineView
from gateway.errors import StartError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from gateway.app import Gateway
    from gateway.config import Problem

PROVIDER: Final = "engine"
TUNING: Final = (
    "slots", "context_tokens", "batch_tokens", "threads", "gpu_layers", "max_queue", "task", "kv", "kv_type",
    "max_decode_gap", "on_overflow", "split", "chat_template", "deterministic", "devices",
)  # fmt: skip
# The gateway that asks has limits of its own, and leaves when they are over; these only end what nobody waits for.
TIMEOUTS: Final = {"first_token": "1h", "idle": "10m", "total": "6h", "write": "60s"}
# Whoever was there when the worker died is tried once more here, as only here it can be tried alone.
TRIES: Final = 2
FREE: Final = {"input": 0, "cached_input": 0, "cache_write": 0, "output": 0}
_OPTION: Final = re.compile(r"providers\.engine\.([a-z_]+)(.*)")
# Where an option is not called as the setting that it makes.
OPTIONS: Final = {
    "--model-path": "--model",
    "--devices": "--device",
    "--adapters": "--adapter",
    "providers.engine": "the engine",
    "server.listen": "--listen",
    "server.admin": "--admin",
    "keys[0].secret": "the key",
}


def run(options: Namespace) -> int:
    """Serve until told to stop. 0 after a drain, 2 when the options or what they need are wrong."""
    with TemporaryDirectory(prefix="pointsman-engine-") as folder:
        ledger = options.ledger or Path(folder) / "calls.db"
        try:
            policy = policy_of(options, ledger.absolute())
        except ValueError as error:
            sys.stderr.write(f"pointsman engine: {error}\n")
            return 2
        config, problems = examine_text(json.dumps(policy), Path("engine"), os.environ)
        for problem in problems:
            sys.stderr.write(f"pointsman engine: {worded(problem)}\n")
        if config is None:
            return 2
        only = OnlyModel()
        try:
            uvloop.run(Service(None, None, config, Manner(None, None, dress=only.dress)).run())
        except StartError as error:
            sys.stderr.write(f"pointsman engine: {str(error).removeprefix(f'{PROVIDER}: ')}\n")
            return 2
    if only.complaint:
        sys.stderr.write(f"pointsman engine: {only.complaint}\n")
        return 2
    return 0


class OnlyModel:
    """The model that the process is there for. Where it cannot be loaded the process ends, for whoever started it to
    see; a gateway goes on with its other models. `complaint` says why.
    """

    def __init__(self) -> None:
        self.complaint = ""
        self._watching: asyncio.Task[None] | None = None

    def dress(self, gateway: Gateway) -> None:
        """Beside the usual paths the one that gateways read to know how this engine stands."""
        gateway.edge.add("GET", PATH, EngineView(lambda: gateway.generation))
        self._watching = asyncio.create_task(self._watch(gateway))

    async def _watch(self, gateway: Gateway) -> None:
        from gateway.local.serving.supervisor import State  # noqa: PLC0415 - the command line is read without it
        from gateway.local.serving.upstream import LocalUpstream  # noqa: PLC0415 - the same

        upstream = next(iter(gateway.generation.upstreams.values()))  # all of them are one engine's
        if isinstance(upstream, LocalUpstream):
            supervisor = upstream.engine.supervisor
            await supervisor.until_settled()
            if supervisor.state is State.FAILED:
                self.complaint = supervisor.complaint
                gateway.lifecycle.request_stop()


def policy_of(options: Namespace, ledger: Path) -> dict[str, Any]:
    """The policy file that these options stand for. Raises `ValueError`."""
    name = options.name or name_of(options.model)
    if ":" in name:
        raise ValueError("--name must not have a colon in it: NAME:ADAPTER asks for an adapter")
    key, token = (
        _reference(options.key_file, options.key_env),
        _reference(options.admin_token_file, options.admin_token_env),
    )
    adapters = _adapters(options.adapters)
    models = {PROVIDER: name} | {f"{PROVIDER}-{adapter}": f"{name}:{adapter}" for adapter in adapters}
    return {
        "server": {"listen": options.listen, "admin": options.admin or _next_port(options.listen)},
        "ledger": {"url": f"sqlite:///{ledger}", "retention": "1d"},
        "secrets": {} if token is None else {"admin_token": token},
        "providers": {PROVIDER: _provider(options, adapters)},
        "deployments": {d: {"provider": PROVIDER, "model": m, "price": FREE} for d, m in models.items()},
        "routes": [
            {"model": m, "targets": [d], "retry": {"attempts": TRIES}, "timeouts": TIMEOUTS} for d, m in models.items()
        ],
        "keys": [] if key is None else [{"name": "gateway", "secret": key, "vouches": True}],
    }  # fmt: skip


def worded(problem: Problem) -> str:
    """A finding in the command line's terms."""
    option = _OPTION.match(problem.path)
    where, rest = (f"--{option[1].replace('_', '-')}", option[2]) if option else (problem.path, "")
    where = OPTIONS.get(where, where) + rest
    message = problem.message.replace("without keys the gateway", "without --key-file or --key-env the engine").replace(
        "add keys, or use", "or use"
    )
    message = message.replace("secrets.admin_token", "--admin-token-file or --admin-token-env")
    return f"{'warning: ' if problem.severity is Severity.WARNING else ''}{where}: {message}"


def _provider(options: Namespace, adapters: dict[str, str]) -> dict[str, Any]:
    stated = {name: getattr(options, name) for name in TUNING if getattr(options, name) is not None}
    if options.flash_attention is not None:
        stated["flash_attention"] = {"true": True, "false": False}.get(options.flash_attention, "auto")
    if options.tensor_split is not None:
        stated["tensor_split"] = list(_parts(options.tensor_split))
    if adapters:
        stated["adapters"] = adapters
    return {"kind": "llama_cpp", "model_path": options.model, **stated}


def _parts(text: str) -> Iterator[float]:
    try:
        yield from map(float, text.split(","))
    except ValueError:
        raise ValueError("--tensor-split must be numbers with commas between them, such as 3,1") from None


def _adapters(stated: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in stated or ():
        name, equals, file = entry.partition("=")
        if not (name and equals and file):
            raise ValueError("--adapter must be NAME=FILE")
        if name in found:
            raise ValueError(f"--adapter {name} is there twice")
        found[name] = file
    return found


def _reference(file: str | None, variable: str | None) -> str | None:
    if file is not None:
        return f"${{file:{Path(file).absolute()}}}"
    return None if variable is None else f"${{env:{variable}}}"


def _next_port(listen: str) -> str:
    """On loopback, one beyond the port of `--listen`; any free one where that has no neighbour or is any as well."""
    try:
        port = address(listen).port
    except ValueError:
        port = 0  # that it is no address is said of --listen
    return f"127.0.0.1:{port + 1 if 0 < port < 65_535 else 0}"
