"""Copies the rank files of cl100k_base and o200k_base out of an installed litellm wheel into `config/tiktoken`.

tiktoken would download them at first use; Pointsman counts tokens offline. Each file is named by the SHA-1 of the
address that tiktoken would fetch, which is where it looks below TIKTOKEN_CACHE_DIR, and is checked against
tiktoken's own SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
from pathlib import Path

from gateway.prompts.tokens import RANK_FILES

SHIPPED = Path(__file__).resolve().parent.parent / "config" / "tiktoken"


def wheel_tokenizers() -> Path:
    """The folder of rank files inside the installed litellm, found without importing it."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("litellm is not installed here: pip install '.[litellm]'")
    return Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"


def copy_rank_files(source: Path, target: Path) -> list[Path]:
    """What was written. Raises `SystemExit` before writing anything that tiktoken would not accept."""
    written: list[Path] = []
    target.mkdir(parents=True, exist_ok=True)
    for name, rank_file in RANK_FILES.items():
        data = (source / rank_file.file_name).read_bytes()
        if hashlib.sha256(data).hexdigest() != rank_file.sha256:
            raise SystemExit(f"{source / rank_file.file_name} is not {name}: its SHA-256 is wrong")
        path = target / rank_file.file_name
        path.write_bytes(data)
        written.append(path)
    return written


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=SHIPPED)
    for path in copy_rank_files(wheel_tokenizers(), parser.parse_args(arguments).into):
        print(f"{path}  {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
