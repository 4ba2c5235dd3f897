"""One call as the cache sees it: whose it is, the digests by which its answer is found, and which levels are open."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from adapters.cache_view import CacheView, view_of
from gateway.caching.directives import Directives, directives_of, tags_of
from gateway.caching.flights import Alike
from gateway.caching.owners import owner_of
from policies.cache_bypass import bypass, closes_for
from policies.cache_rules import Bypass
from policies.cache_wording import plain_form
from policies.route_rules import NO_REQUIREMENTS

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.embedding.embedder import Vector
    from policies.cache_rules import CacheRules
    from policies.vocabulary import Route

NOWHERE: Final = b""


class Asked(msgspec.Struct):
    """`exact` and `near` are digests over the owner, the route or group, and the request. `near` is empty, and
    nothing is said of `closed`, until `look_closer`: what has an exact like needs neither. `vector` is the question's
    once it was embedded, by the embedder of that id.
    """

    owner: str
    rules: CacheRules
    view: CacheView
    directives: Directives
    tags: tuple[str, ...]
    prefix: bytes
    exact: bytes
    near: bytes = NOWHERE
    closed: Bypass | None = None
    vector: Vector | None = None
    embedder: str = ""

    def look_closer(self) -> None:
        """Find out which levels above exact are open."""
        rules, view = self.rules, self.view
        if not view.question or not (rules.near or rules.semantic is not None):
            return
        self.closed = closes_for(view)
        if self.closed is None and rules.near:
            self.near = sha256(self.prefix + b"near" + view.scope + plain_form(view.question).encode()).digest()

    @property
    def scope(self) -> bytes:
        """Of all but the last question."""
        return sha256(self.prefix + b"scope" + self.view.scope).digest()

    @property
    def is_semantic(self) -> bool:
        return self.rules.semantic is not None and self.closed is None and bool(self.view.question)

    def alike(self, call: Call) -> Alike:
        """What calls share that may get one answer between them."""
        request = call.request
        options = bytes(request.members.get("stream_options", b"")) if request.stream else b""
        return Alike(self.owner, self.near or self.exact, b"stream" + options if request.stream else b"")


def asked_of(call: Call, route: Route, rules: CacheRules) -> Asked | Bypass:
    """What the cache goes by, or why it leaves the call alone. Raises `RequestError` for tags that are none."""
    principal = call.principal
    if principal is None or not principal.uses_cache:
        return Bypass.OFF
    directives, tags = directives_of(call.headers), tags_of(call.headers)
    if directives.no_store:
        return Bypass.NO_STORE
    view = view_of(call.request, rules.ignored)
    if view is None:
        return Bypass.LONG
    why = bypass(view, rules)
    if why is not None:
        return why
    owner = owner_of(principal, rules.sharing)
    prefix = _prefix(call, owner, f"group {rules.group}" if rules.group else f"route {route.name}")
    return Asked(owner, rules, view, directives, tags, prefix, sha256(prefix + b"exact" + view.exact).digest())


def _prefix(call: Call, owner: str, place: str) -> bytes:
    """What is in all digests of a call. Callers who require other things of whoever sees their requests, and those of
    whom other routes inside the route take calls, do not share answers; nor do those whose headers, as far as any
    upstream is shown them, differ.
    """
    parts = [owner, place]
    requires = call.needs.requires
    if requires != NO_REQUIREMENTS:
        parts += ["requires", *sorted(requires.regions), "of", *sorted(requires.data_classes)]
    if call.met:
        parts += ["met", *sorted(call.met)]
    parts += _passed_on(call)
    return b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, parts))


def _passed_on(call: Call) -> list[str]:
    """The caller's headers that upstreams see, and may answer by."""
    forwarded = call.generation.forwarded
    names = {name for deployment in call.candidates for name in forwarded.get(deployment.id, ())}
    found: list[str] = []
    for name in sorted(names):
        for value in call.headers.getall(name, ()):
            found += ["header", name, value.encode("utf-8", "surrogateescape").hex()]
    return found
