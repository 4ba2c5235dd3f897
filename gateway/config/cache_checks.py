"""Checks of caches: the deployments that they name are there, and what they say can come to something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.names import entries
from gateway.config.problems import Severity, did_you_mean
from gateway.config.storage import MEMORY
from gateway.extras import ENCRYPTION, PGVECTOR, QDRANT, SEMANTIC, is_installed, remedy
from policies.cache_rules import Sharing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.caching import CacheSettings, SemanticSettings
    from gateway.config.model import Config
    from gateway.config.names import Finding
    from gateway.config.problems import Place
    from gateway.config.tree import Tree
    from gateway.extras import Extra

WARM: Final = 0.5
"""A temperature above which an answer is one of many."""


def check_caches(tree: Tree) -> Iterator[Finding]:
    """Findings about names. A judge, and an embedder that is a deployment, are declared in the same file."""
    for place, name in asked_by_caches(tree):
        yield from _deployment(tree, place, name)


def asked_by_caches(tree: Tree) -> Iterator[tuple[Place, object]]:
    """The judges and the embedder, as the file names them; None where it does not."""
    for place, body in entries(tree, "routes"):
        semantic = _mapping(_mapping(body.get("cache")).get("semantic"))
        judge = semantic.get("judge")
        at: Place = (*place, "cache", "semantic", "judge")
        if isinstance(judge, dict):
            at, judge = (*at, "deployment"), judge.get("deployment")
        yield at, judge
    embedder = _mapping(_mapping(tree.values.get("cache")).get("embedder"))
    yield ("cache", "embedder", "deployment"), embedder.get("deployment")


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _deployment(tree: Tree, place: Place, name: object) -> Iterator[Finding]:
    known = _mapping(tree.values.get("deployments"))
    if not isinstance(name, str) or not name or name in known:
        return
    said = f"'{name}'{did_you_mean(name, known)}" if place not in tree.from_references else "of this name"
    yield place, f"there is no deployment {said}", Severity.ERROR


def cache_doubts(config: Config) -> Iterator[Finding]:
    """Warnings about caches that can be used."""
    cached = [(index, route.cache) for index, route in enumerate(config.routes) if route.cache is not None]
    for index, cache in cached:
        yield from _route_doubts(config, ("routes", index, "cache"), cache)
    for place, extra in _extras(config, cached):
        if not is_installed(extra):
            yield place, remedy(extra), Severity.WARNING
    if config.state.url.reveal() != MEMORY and config.cache.file is not None:
        message = "counts for nothing: with a shared state.url answers are kept there, and outlive this process anyway"
        yield ("cache", "file"), message, Severity.WARNING
    elif config.cache.file is not None and not config.secrets.newest_first and any(not key.team for key in config.keys):
        message = (
            "without secrets.pepper keys without a team get new ids at each start, and find nothing that they kept"
        )
        yield ("cache", "file"), message, Severity.WARNING
    if not cached and "cache" in config.model_fields_set:
        yield ("cache",), "counts for nothing: no route has a cache", Severity.WARNING


def _extras(config: Config, cached: Sequence[tuple[int, CacheSettings]]) -> Iterator[tuple[Place, Extra]]:
    """What these caches cannot be without; an embedder elsewhere makes vectors, but does not compare them."""
    semantic = next((index for index, cache in cached if cache.semantic is not None), None)
    vectors = config.cache.vectors
    if semantic is not None:
        yield ("routes", semantic, "cache", "semantic"), SEMANTIC
    if config.cache.encryption_key is not None:
        yield ("cache", "encryption_key"), ENCRYPTION
    if vectors.qdrant is not None:
        yield ("cache", "vectors", "qdrant"), QDRANT
    if vectors.pgvector is not None:
        yield ("cache", "vectors", "pgvector"), PGVECTOR


def _route_doubts(config: Config, place: Place, cache: CacheSettings) -> Iterator[Finding]:
    if cache.share is Sharing.ALL:
        message = "every caller, of whichever org, is served with answers to the others' questions"
        yield (*place, "share"), message, Severity.WARNING
    if cache.temperature_max > WARM:
        message = f"above {WARM} a caller asks for another answer each time, and gets the same one for the life of it"
        yield (*place, "max_temperature"), message, Severity.WARNING
    if cache.semantic is not None:
        yield from _semantic_doubts(config, (*place, "semantic"), cache.semantic)


def _semantic_doubts(config: Config, place: Place, semantic: SemanticSettings) -> Iterator[Finding]:
    if semantic.shadow is None:
        message = "only feedback will tell how many hits are wrong: shadow: {share: 1%} asks the model now and then"
        yield (*place, "shadow"), message, Severity.WARNING
    if semantic.judge is not None and semantic.judge.deployment in _dear(config, place):
        message = "costs more than the deployments of this route: a question to it costs more than the answer"
        yield (*place, "judge"), message, Severity.WARNING


def _dear(config: Config, place: Place) -> frozenset[str]:
    """Deployments that cost more, by stated or listed price, than every target of the route at `place`."""
    from gateway.config.compile import deployments  # noqa: PLC0415 - only a judge's price is asked for
    from gateway.config.compile_prices import tables_of  # noqa: PLC0415
    from gateway.config.compile_routes import routing  # noqa: PLC0415
    from gateway.errors import StartError  # noqa: PLC0415
    from gateway.prices.table import BrokenTable  # noqa: PLC0415
    from policies.matching import candidates  # noqa: PLC0415

    try:
        known = deployments(config, tables_of(config).price_of)
    except (BrokenTable, StartError):
        return frozenset()  # a table that cannot be read is a finding of its own
    route = routing(config, known)[int(place[1])]
    rates = {one.name: one.price.input_nanousd for one in known.values() if one.price is not None}
    own = [rates.get(one.name) for one in candidates(route)]
    stated = [rate for rate in own if rate is not None]
    if not stated or len(stated) < len(own):
        return frozenset()
    return frozenset(name for name, rate in rates.items() if rate is not None and rate > max(stated))
