from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.caching.directives import Directives, directives_of, tags_of
from gateway.errors import RequestError


def headers(*values: str, name: str = "cache-control") -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([(name, value) for value in values]))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ((), Directives()),
        (("no-store",), Directives(no_store=True)),
        (("No-Cache, max-age=60",), Directives(no_cache=True, age_max_s=60.0)),
        (("no-cache", "no-store"), Directives(no_cache=True, no_store=True)),
        (('max-age="7"',), Directives(age_max_s=7.0)),
        (("max-age=0",), Directives(age_max_s=0.0)),
        (("max-age=5, max-age=9",), Directives(age_max_s=5.0)),
        (("only-if-cached",), Directives(only_if_cached=True)),
        # What is not understood is left out, and only that.
        (("max-age=-1, max-age, no-store=x y, no_store, max-age=\u0661",), Directives()),
        (("private, max-stale=3, , ;, no-store",), Directives(no_store=True)),
    ],
)
def test_what_a_caller_says_is_read_as_far_as_it_is_understood(written: tuple[str, ...], meant: Directives) -> None:
    assert directives_of(headers(*written)) == meant


@given(st.text(max_size=80))
def test_no_header_breaks_it(text: str) -> None:
    assert directives_of(headers(text)).age_max_s != -1.0


def test_tags_are_a_list_without_repetitions() -> None:
    assert tags_of(headers("faq, v2", "faq,,doc=7", name="x-pointsman-cache-tags")) == ("faq", "v2", "doc=7")
    assert tags_of(headers()) == ()


@pytest.mark.parametrize("written", ["a b", "-x", "a" * 101, ",".join(map(str, range(21))), "a\x00"])
def test_what_is_no_tag_is_refused(written: str) -> None:
    with pytest.raises(RequestError) as refused:
        tags_of(headers(written, name="x-pointsman-cache-tags"))
    assert (refused.value.status, refused.value.code) == (400, "invalid_cache_tags")
