from __future__ import annotations

import json
from copy import copy

import msgspec
import pytest

from gateway.call import Cached
from gateway.explaining.cache_told import cache_told
from gateway.records.usual_cache import NO_CACHE, cache_kind, cache_numbers, cut_out_cache
from gateway.signals.cut_out import template_from
from gateway.state.answers.store import Used
from policies.cache_rules import Bypass, Level

SAVED = Used(3, 4, cost_nanousd=5)
USUAL = (
    Cached(),
    Cached(entry_id="ce_1", lookup_s=0.001),
    Cached(closed=Bypass.LONG, entry_id="ce_1", lookup_s=1.5, saved=SAVED),
    Cached(bypass=Bypass.TEMPERATURE),
    Cached(level=Level.EXACT, entry_id="ce_1", age_s=0.0, lookup_s=0.00001, saved=SAVED),
    Cached(level=Level.NEAR, entry_id="ce_1", age_s=31.04, saved=Used(3, 4)),
    Cached(level=Level.NEAR, entry_id="ce_1", age_s=31.04),
)


@pytest.mark.parametrize("cached", USUAL, ids=range(len(USUAL)))
def test_numbers_filled_in_again_say_the_same(cached: Cached) -> None:
    told = cache_told(cached)
    marked = copy(told)
    cut_out_cache(marked)
    line = template_from(msgspec.json.encode(marked)) % cache_numbers(cached)
    assert json.loads(line) == json.loads(msgspec.json.encode(told))


def test_each_has_a_kind_of_its_own() -> None:
    assert len({cache_kind(cached) for cached in USUAL}) == len(USUAL)
    assert cache_kind(None) == NO_CACHE


@pytest.mark.parametrize(
    "other",
    [
        Cached(joined="req_1"),
        Cached(similarity=0.5),
        Cached(risk=0.1),
        Cached(bar=0.1),
        Cached(veto="numbers"),
        Cached(judged=True),
        Cached(lookup_s=0.000004),
    ],
    ids=range(7),
)
def test_what_has_more_to_tell_is_of_no_kind(other: Cached) -> None:
    assert cache_kind(other) is None
