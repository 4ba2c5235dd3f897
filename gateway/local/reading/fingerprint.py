"""What cells depend on beside the text: the model, its adapter, the build, and how it computes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.local.reading.gguf import read_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.local.frames import Load

HEAD_BYTES: Final = 1 << 20
SAMPLES: Final = 256
SAMPLE_BYTES: Final = 4096


def fingerprints(load: Load, build: str) -> dict[str | None, str]:
    """By adapter; None is the model's own. Raises `OSError` and `BrokenGguf`.

    Of large files samples are taken: a model that was trained on differs everywhere.
    """
    model = hashlib.blake2b(digest_size=32)
    for file in read_model(Path(load.model_path)).files:
        _take(model, file)
    tuning = load.tuning
    settings = (
        build,
        tuning.deterministic,
        tuning.batch_tokens,
        tuning.kv_type,
        tuning.flash_attention,
        tuning.gpu_layers,
        tuning.devices,
    )
    model.update(msgspec.json.encode((*settings, tuning.split, tuning.tensor_split, load.plain_weights)))
    found: dict[str | None, str] = {None: model.hexdigest()}
    for name, path in load.adapters:
        adapted = model.copy()
        _take(adapted, Path(path))
        found[name] = adapted.hexdigest()
    return found


def _take(digest: hashlib.blake2b, path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        digest.update(size.to_bytes(8, "little"))
        for at in _places(size):
            file.seek(at)
            digest.update(file.read(HEAD_BYTES if at == 0 else SAMPLE_BYTES))


def _places(size: int) -> Iterable[int]:
    """Where samples are taken: all of a small file, and the end of each."""
    last = max(0, size - SAMPLE_BYTES)
    return range(0, last + 1, max(1, last // SAMPLES)) if last > HEAD_BYTES else (0, last)
