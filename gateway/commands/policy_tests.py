"""`pointsman test FILE`: the cases of a file held against a policy, for people and for CI."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

import msgspec
import yaml

from gateway.commands.asked_policy import policy_of
from gateway.commands.shown import not_yaml
from gateway.explaining.cases import cases_of, run_case
from gateway.explaining.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.explaining.cases import Result

OK: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
SIZE_MAX_BYTES: Final = 4 << 20


def run(file: Path, config_file: Path | None, *, as_json: bool) -> int:
    """0 where every case holds, 1 where one does not, 2 where a file is wrong."""
    try:
        cases = cases_of(_read(file))
    except yaml.YAMLError as error:
        sys.stderr.write(f"{file}: {not_yaml(error)}\n")
        return REFUSED
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        sys.stderr.write(f"{file}: {str(error).replace(chr(10), ' ')}\n")
        return REFUSED
    path = config_file or (None if cases.config is None else file.parent / cases.config)
    if path is None:
        sys.stderr.write(f"{file}: name the policy by --config or by config: in the file\n")
        return REFUSED
    config = policy_of(path)
    if config is None:
        return REFUSED
    # Each over a fleet of its own: no case depends on those before it.
    results = [asyncio.run(run_case(case, Rehearsal(config))) for case in cases.cases]
    wrong = sum(bool(result.wrong) for result in results)
    if as_json:
        sys.stdout.write(msgspec.json.encode({"cases": results, "failed": wrong}).decode() + "\n")
    else:
        _tell(results)
        sys.stdout.write(f"{len(results) - wrong} of {len(results)} hold\n")
    return FAILED if wrong else OK


def _read(file: Path) -> object:
    with file.open(encoding="utf-8") as opened:
        text = opened.read(SIZE_MAX_BYTES + 1)
    if len(text) > SIZE_MAX_BYTES:
        raise ValueError("is larger than 4 MiB")
    return yaml.safe_load(text)


def _tell(results: list[Result]) -> None:
    for result in results:
        sys.stdout.write(f"{'FAILED' if result.wrong else 'ok':6}  {result.name}\n")
        for line in result.wrong:
            sys.stdout.write(f"        {line}\n")
