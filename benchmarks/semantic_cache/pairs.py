"""Pairs that were made to deceive: what a fresh route would serve of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from adapters.cache_view import view_of
from adapters.schema import InferenceRequest
from benchmarks.semantic_cache import data
from benchmarks.semantic_cache.vectors import vectors_of
from policies.caching import Candidate, Experience, decide
from policies.questions.signs import compare
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.cache_curves import Curve


class Served(NamedTuple):
    """Of so many traps and so many that should be served, how many were; wrong ones by category."""

    traps: int
    traps_served: int
    should: int
    should_served: int
    by_category: Counter[str]


def by_budget(curve: Curve, budget: float) -> Served:
    """Each pair alone on a route that has seen no traffic."""
    return _served(
        lambda pair, cosine: (
            decide(
                [Candidate(cosine, compare(pair.other, pair.one))], curve, Experience(), budget, doubtful_max=0.0
            ).serves
        )
    )


def by_cosine(threshold: float) -> Served:
    return _served(lambda _, cosine: cosine >= threshold)


def _served(serves: Callable[[data.Pair, float], bool]) -> Served:
    pairs = data.traps()
    ones, others = vectors_of([pair.one for pair in pairs]), vectors_of([pair.other for pair in pairs])
    cosines = (ones * others).sum(axis=1)
    found = [(pair, serves(pair, float(cosine))) for pair, cosine in zip(pairs, cosines, strict=True)]
    wrong = Counter(pair.category for pair, is_served in found if is_served and not pair.same)
    traps = sum(not pair.same for pair in pairs)
    right = sum(is_served and pair.same for pair, is_served in found)
    return Served(traps, wrong.total(), len(pairs) - traps, right, wrong)


def chats_in_one_scope() -> tuple[int, int, int]:
    """Of pairs of conversations with the same last question: traps, those of them whose scopes are equal, all pairs."""
    pairs = data.chats()
    traps = [pair for pair in pairs if not pair.same]
    return len(traps), sum(_scope(pair.one) == _scope(pair.other) for pair in traps), len(pairs)


def _scope(messages: list[dict[str, object]]) -> bytes:
    members = {"model": msgspec.Raw(b'"m"'), "messages": msgspec.Raw(msgspec.json.encode(messages))}
    request = InferenceRequest(Endpoint.CHAT, "m", stream=False, include_usage=False, members=members, body_bytes=1000)
    view = view_of(request)
    assert view is not None
    return view.scope
