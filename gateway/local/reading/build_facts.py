"""What this installation's llama.cpp can do, asked in another process: an abort there is an answer here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.extras import LLAMA, is_installed, remedy
from policies.engine_devices import Build, Device

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S: Final = 60.0
LAST_WORDS_CHARS: Final = 500
PROBE: Final = (sys.executable, "-m", "gateway.local.reading.probe")
_ROOT: Final = str(Path(__file__).parents[3])


class BuildFacts(NamedTuple):
    """`trouble` says why nothing is known of the build, and is empty where all is well."""

    trouble: str = ""
    version: str = ""
    supports_gpu: bool = False
    system_info: str = ""
    build: Build = Build((), ())


def ask_build(command: Sequence[str] = PROBE) -> BuildFacts:
    """Never raises: whatever is wrong with the build is the answer."""
    if not is_installed(LLAMA):
        return BuildFacts(remedy(LLAMA))
    paths = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": paths}
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False, env=environ)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired:
        return BuildFacts(f"llama.cpp did not answer within {PATIENCE_S:.0f} s: a driver that hangs?")
    except OSError as error:
        return BuildFacts(f"llama.cpp could not be asked: {error}")
    if done.returncode:
        return BuildFacts(_ending(done.returncode, done.stderr))
    try:
        return _facts(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        return BuildFacts(f"llama.cpp's answer makes no sense: {error!r}")


def _facts(told: dict[str, Any]) -> BuildFacts:
    devices = tuple(Device(**device) for device in told["devices"])
    return BuildFacts(
        version=str(told["version"]),
        supports_gpu=bool(told["supports_gpu_offload"]),
        system_info=str(told["system_info"]),
        build=Build(tuple(told["backends"]), devices),
    )


def _ending(code: int, stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1][:LAST_WORDS_CHARS] if lines else "without a word"
    if code == -signal.SIGILL:
        return "llama.cpp was compiled for another processor (illegal instruction): compile it on this machine"
    how = f"was ended by signal {-code}" if code < 0 else "cannot be loaded"
    return f"llama.cpp {how}: {last}"
