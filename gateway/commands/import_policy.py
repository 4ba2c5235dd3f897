"""`pointsman import litellm FILE`: another gateway's configuration as a policy, and what of it has no counterpart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import yaml

from gateway.commands.shown import not_yaml
from gateway.importing.litellm import Imported, import_litellm

OK: Final = 0
REFUSED: Final = 2
SIZE_MAX_BYTES: Final = 4 << 20


def litellm(source: str, out: Path | None) -> int:
    """0 with the policy on standard output or in `out`, and the notes on standard error; 2 for what cannot be read."""
    try:
        imported = import_litellm(_read(source))
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        sys.stderr.write(f"{source}: cannot be imported: {_gist(error)}\n")
        return REFUSED
    text = written(imported)
    try:
        if out is None:
            sys.stdout.write(text)
        else:
            out.write_text(text, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"{out}: {error.strerror}\n")
        return REFUSED
    for note in imported.notes:
        sys.stderr.write(f"{note}\n")
    count = len(imported.notes)
    what = f"{count} {'thing' if count == 1 else 'things'} to look at"
    sys.stderr.write(f"{what}; then: pointsman check {'FILE' if out is None else out}\n")
    return OK


def written(imported: Imported) -> str:
    """The policy file, saying at the top where it is from."""
    policy = yaml.safe_dump(imported.policy, sort_keys=False, allow_unicode=True, width=120)
    return f"# Imported from a LiteLLM configuration. What has no counterpart was told on standard error.\n{policy}"


def _read(source: str) -> object:
    if source == "-":
        text = sys.stdin.read(SIZE_MAX_BYTES + 1)
    else:
        with Path(source).open(encoding="utf-8") as file:
            text = file.read(SIZE_MAX_BYTES + 1)
    if len(text) > SIZE_MAX_BYTES:
        raise ValueError("it is larger than 4 MiB")
    return yaml.safe_load(text)


def _gist(error: Exception) -> str:
    if isinstance(error, yaml.YAMLError):
        return not_yaml(error)
    return str(error).replace("\n", " ")[:500]
