"""What is compared: how each engine is started with the same model, slots, context and threads, and why one is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from benchmarks.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
KEY = "pm-benchmarks-only-0123456789abcdef"
OTHERS = ROOT / ".venv-bench-engine"
BATCH_TOKENS = 512

OURS, BARE, GUESSING = "pointsman", "pointsman, bare engine", "pointsman, guessing"
LLAMA_SERVER, LLAMA_SERVER_DEFAULT = "llama-server", "llama-server -b 2048"
LLAMA_SERVER_PLAIN = "llama-server -fa off"
XLLAMACPP, LLAMA_CPP_SERVER = "xllamacpp", "llama_cpp.server"


@dataclass(frozen=True)
class Sizes:
    """How every system is set up."""

    model: Path
    slots: int
    context_tokens: int
    threads: int


@dataclass(frozen=True)
class Started:
    """A server's command and where it answers; no command where the client itself starts our worker."""

    client: list[str]
    command: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    base_url: str = ""


@dataclass(frozen=True)
class System:
    name: str
    about: str
    prepare: Callable[[Path, Sizes], Started]
    missing: str = ""


def _served(port: int, command: list[str], env: dict[str, str] | None = None, model: str = "m") -> Started:
    base_url = f"http://127.0.0.1:{port}/v1"
    return Started(["http", base_url, model, KEY], command, env or {}, base_url)


def _pointsman(folder: Path, sizes: Sizes, *, speculate: bool) -> Started:
    port = free_port()
    policy = {
        "version": 1,
        "server": {"listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{free_port()}"},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "providers": {
            "engine": {
                "kind": "llama_cpp", "model_path": str(sizes.model), "slots": sizes.slots,
                "context_tokens": sizes.context_tokens, "threads": sizes.threads, "speculate": speculate,
            }
        },
        "deployments": {"d": {"provider": "engine", "model": "m", "price": {"input": 0, "output": 0}}},
        "routes": [{"model": "m", "targets": ["d"]}],
        "keys": [{"name": "bench", "secret": KEY}],
    }  # fmt: skip
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(policy))
    return _served(port, [sys.executable, "-m", "gateway", "serve", "--config", str(file)])


def _ours(folder: Path, sizes: Sizes) -> Started:
    return _pointsman(folder, sizes, speculate=False)


def _guessing(folder: Path, sizes: Sizes) -> Started:
    return _pointsman(folder, sizes, speculate=True)


def _bare(_folder: Path, sizes: Sizes) -> Started:
    tuning = {
        "slots": sizes.slots,
        "context_tokens": sizes.context_tokens,
        "threads": sizes.threads,
        "speculate": False,
    }
    return Started(["worker", str(sizes.model), json.dumps(tuning)])


def _llama_server(sizes: Sizes, batch_tokens: int, attention: str = "auto") -> Started:
    port = free_port()
    command = [
        llama_server_path(), "--model", str(sizes.model), "--host", "127.0.0.1", "--port", str(port),
        "--parallel", str(sizes.slots), "--ctx-size", str(sizes.slots * sizes.context_tokens), "--no-kv-unified",
        "--threads", str(sizes.threads), "--threads-batch", str(sizes.threads), "--no-webui",
        "--batch-size", str(batch_tokens), "--ubatch-size", str(BATCH_TOKENS), "--flash-attn", attention,
    ]  # fmt: skip
    return _served(port, command)


def llama_server_path() -> str:
    """The server compiled from llama-cpp-python's own source; the first call takes minutes."""
    done = subprocess.run([ROOT / "scripts" / "build_llama_server.sh"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _anchor(_folder: Path, sizes: Sizes) -> Started:
    return _llama_server(sizes, BATCH_TOKENS)


def _anchor_default(_folder: Path, sizes: Sizes) -> Started:
    return _llama_server(sizes, 2048)


def _anchor_plain(_folder: Path, sizes: Sizes) -> Started:
    return _llama_server(sizes, BATCH_TOKENS, "off")


def _others(module: list[str]) -> tuple[list[str], dict[str, str]]:
    """A command of the other servers' environment, which borrows llama_cpp from ours."""
    paths = (
        f"{venv}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        for venv in (OTHERS, ROOT / ".venv")
    )
    return [str(OTHERS / "bin" / "python"), *module], {"PYTHONPATH": os.pathsep.join((*paths, str(ROOT)))}


def _xllamacpp(_folder: Path, sizes: Sizes) -> Started:
    port = free_port()
    numbers = map(str, (port, sizes.slots, sizes.context_tokens, sizes.threads))
    return _served(port, *_others(["-m", "benchmarks.engine.xllama_server", str(sizes.model), *numbers]))


def _llama_cpp_server(_folder: Path, sizes: Sizes) -> Started:
    port = free_port()
    command = [
        "-m", "llama_cpp.server", "--model", str(sizes.model), "--host", "127.0.0.1", "--port", str(port),
        "--n_ctx", str(sizes.context_tokens), "--n_batch", str(BATCH_TOKENS), "--n_threads", str(sizes.threads),
        "--n_threads_batch", str(sizes.threads), "--interrupt_requests", "false", "--verbose", "false",
    ]  # fmt: skip
    return _served(port, *_others(command))


def all_systems() -> list[System]:
    no_others = "" if OTHERS.exists() else f"{OTHERS.name} is not installed (make bench-engine)"
    return [
        System(OURS, "the whole gateway over HTTP, one worker process", _ours),
        System(BARE, "the same worker driven over its socket: no gateway, no HTTP", _bare),
        System(GUESSING, "the whole gateway, prompt lookup allowed (`speculate`)", _guessing),
        System(
            LLAMA_SERVER, "llama.cpp's server, compiled from llama-cpp-python's vendored source, same flags", _anchor
        ),
        System(LLAMA_SERVER_DEFAULT, "the same with its own default batch size", _anchor_default),
        System(LLAMA_SERVER_PLAIN, "the same without flash attention, which is slow on processors", _anchor_plain),
        System(XLLAMACPP, "PyPI's prebuilt llama.cpp server (AVX2 only)", _xllamacpp, no_others),
        System(LLAMA_CPP_SERVER, "llama-cpp-python's own server, one call at a time", _llama_cpp_server, no_others),
    ]
