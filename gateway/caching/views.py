"""What was worked out of requests, kept by their very bytes: programs ask the same again and again, and to read such a
request anew costs several times what it takes to find its answer.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from adapters.cache_view import view_of
from policies.cache_bypass import bypass, closes_for
from policies.questions.wording import plain_form

if TYPE_CHECKING:
    from adapters.cache_view import CacheView
    from adapters.schema import InferenceRequest
    from policies.cache_rules import Bypass, CacheRules

REMEMBERED_MAX: Final = 2_000
BODY_BYTES_MAX: Final = 4_096
"""Of one that is kept; longer ones are conversations, each asked once."""


class Seen:
    """A request's view, and what its question's wording says, which is found out when somebody asks. What was last made
    of it for a caller is at hand for the next.
    """

    __slots__ = ("_exact", "_left_alone", "_wording", "view")

    def __init__(self, view: CacheView) -> None:
        self.view = view
        self._exact: tuple[bytes, bytes] | None = None
        self._left_alone: tuple[CacheRules, Bypass | None] | None = None
        self._wording: tuple[Bypass | None, bytes] | None = None

    @property
    def wording(self) -> tuple[Bypass | None, bytes]:
        """Why only its exact like is served, else the question's plain form."""
        if self._wording is None:
            closed = closes_for(self.view)
            self._wording = closed, b"" if closed is not None else plain_form(self.view.question).encode()
        return self._wording

    def exact(self, prefix: bytes) -> bytes:
        """The digest of the whole request, for those who share `prefix`."""
        known = self._exact
        if known is None or known[0] != prefix:
            known = self._exact = prefix, sha256(prefix + b"exact" + self.view.exact).digest()
        return known[1]

    def left_alone(self, rules: CacheRules) -> Bypass | None:
        """Why the cache has nothing to do with such a request under these rules."""
        known = self._left_alone
        if known is None or known[0] is not rules:
            known = self._left_alone = rules, bypass(self.view, rules)
        return known[1]


class Views:
    """By endpoint, members and what the route ignores; equal bytes have equal views."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[object, ...], Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def of(self, request: InferenceRequest, ignored: frozenset[str]) -> Seen | None:
        """None where the request is too large to be looked at on the way."""
        if request.body_bytes > BODY_BYTES_MAX:
            return _looked_at(request, ignored)
        members = request.members
        key = (request.endpoint, ignored, *members, *map(bytes, members.values()))
        seen = self._seen.get(key)
        if seen is not None:
            self._seen.move_to_end(key)
            return seen
        seen = _looked_at(request, ignored)
        if seen is not None:
            self._seen[key] = seen
            if len(self._seen) > REMEMBERED_MAX:
                self._seen.popitem(last=False)
        return seen


def _looked_at(request: InferenceRequest, ignored: frozenset[str]) -> Seen | None:
    view = view_of(request, ignored)
    return None if view is None else Seen(view)
