"""From the policy file to a `Config`, or to the list of all that is wrong with it."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.config.cache_checks import cache_doubts, check_caches
from gateway.config.doubts import doubts
from gateway.config.engine_checks import check_engines
from gateway.config.exposure import check_exposure
from gateway.config.later import not_yet
from gateway.config.limit_checks import check_limits
from gateway.config.model import Config
from gateway.config.names import check_names
from gateway.config.price_checks import price_doubts
from gateway.config.problems import ConfigProblems, Malformed, Problem, Severity, printable, written
from gateway.config.references import References
from gateway.config.route_checks import check_routes
from gateway.config.sharing import check_sharing
from gateway.config.tree import BYTES_MAX, Tree, compose, unfold
from gateway.config.wording import translated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from gateway.config.problems import Place


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The policy in the file at `path`. Raises `ConfigProblems` with everything that is wrong with it."""
    config, problems = examine(path, environ)
    if config is None:
        raise ConfigProblems(problems)
    return config


def examine(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, tuple[Problem, ...]]:
    """The policy and its warnings; None, and all that is wrong, where the file cannot be used."""
    try:
        # A pipe is welcome here: `pointsman check <(...)` is a fair thing to type.
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        return None, (Problem(str(path), 1, "", f"cannot be read: {error.strerror}"),)
    except UnicodeDecodeError:
        return None, (Problem(str(path), 1, "", "is not UTF-8 text"),)
    return examine_text(text, path, environ)


def examine_text(text: str, path: Path, environ: Mapping[str, str]) -> tuple[Config | None, tuple[Problem, ...]]:
    """As `examine`, for a policy's text; `path` is what its problems name, and in whose folder its paths start."""
    base = path.absolute().parent
    try:
        tree = unfold(compose(text), References(environ, base).resolve)
    except Malformed as problem:
        return None, (Problem(str(path), problem.line, "", problem.message),)
    if not isinstance(tree.values, dict):
        return None, (Problem(str(path), 1, "", "must be a mapping: providers, deployments, routes, ..."),)
    report = _Report(str(path), tree)
    for place, line, message in tree.findings:
        report.add(place, message, line=line)
    later = dict(not_yet(tree))
    for place, message in later.items():
        report.add(place, message)
    # What the models make of these is not news: a reference that could not be resolved, and what is not available.
    settled = later.keys() | {place for place, _, _ in tree.findings if place in tree.from_references}
    config = _shape(tree, base, report, settled)
    checks = (check_names(tree), check_routes(tree), check_limits(tree), check_sharing(tree), check_caches(tree))
    for place, message, severity in chain(*checks, check_exposure(tree, base, time.time())):
        report.add(place, message, severity)
    if config is not None and not report.has_errors:
        sound = (check_engines(config), doubts(config), cache_doubts(config), price_doubts(config))
        for place, message, severity in chain(*sound):
            report.add(place, message, severity)
    return (None if report.has_errors else config), report.problems()


def _shape(tree: Tree, base: Path, report: _Report, settled: Collection[Place]) -> Config | None:
    """The models, where the shape allows; what it does not is reported, but for what is settled already."""
    values: dict[str, Any] = {
        "ledger": {},
        **tree.values,
    }  # its default depends on the folder, which only context knows
    try:
        return Config.model_validate(values, context={"base": base})
    except ValidationError as error:
        for place, message in translated(error, tree):
            if not any(place[: len(known)] == known for known in settled):
                report.add(place, message)
        return None


class _Report:
    """Collects findings and puts them in the order of the file."""

    def __init__(self, file: str, tree: Tree) -> None:
        self._file = file
        self._tree = tree
        self._found: list[Problem] = []

    def add(self, place: Place, message: str, severity: Severity = Severity.ERROR, *, line: int = 0) -> None:
        where, what = printable(written(place)), printable(message)
        self._found.append(Problem(self._file, line or self._tree.line(place), where, what, severity))

    @property
    def has_errors(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self._found)

    def problems(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._found, key=lambda problem: problem.line))
