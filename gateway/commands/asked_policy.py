"""The policy that a command asks about and serves nothing by: where it runs, its secrets need not be."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.config import examine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Config


def policy_of(path: Path) -> Config | None:
    """The policy, or None with all that is wrong on standard error. Something stands in for variables that are not set,
    which is said there too.
    """
    config, problems = examine(path, os.environ)
    if config is not None:
        return _with_prices(path, config)
    stand_ins = _StandIns(os.environ)
    config, _ = examine(path, stand_ins)
    if config is not None:
        names = ", ".join(sorted(stand_ins.asked_for))
        sys.stderr.write(f"{path}: something stands in for what is not set in the environment: {names}\n")
        return _with_prices(path, config)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return None


def _with_prices(path: Path, config: Config) -> Config | None:
    """The policy, unless the price table that it names cannot be used here: what is asked about may go by prices."""
    if config.prices.file is None:
        return config
    from gateway.app import compiled  # noqa: PLC0415 - only for policies with a table of their own
    from gateway.errors import StartError  # noqa: PLC0415 - as above

    try:
        compiled(config)
    except StartError as problem:
        sys.stderr.write(f"{path}: {problem}\n")
        return None
    return config


class _StandIns(Mapping[str, str]):
    """An environment in which every variable is set, those that are not to a text that is a secret of their own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.asked_for: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __getitem__(self, name: str) -> str:
        if name in self._environ:
            return self._environ[name]
        self.asked_for.add(name)
        return f"{name}-stands-in-for-a-secret"

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)
