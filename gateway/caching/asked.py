"""One call as the cache sees it: whose it is, the digests by which its answer is found, and which levels are open."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.caching.directives import Directives, directives_of, tags_of
from gateway.caching.flights import Alike
from gateway.caching.owners import owner_of
from policies.cache_rules import Bypass
from policies.route_rules import NO_REQUIREMENTS

if TYPE_CHECKING:
    from adapters.cache_view import CacheView
    from gateway.caching.views import Seen, Views
    from gateway.call import Call
    from gateway.embedding.embedder import Vector
    from policies.cache_rules import CacheRules
    from policies.vocabulary import Route

NOWHERE: Final = b""
PREFIXES_MAX: Final = 4_096


class Asked(msgspec.Struct):
    """`exact` and `near` are digests over the owner, the route or group, and the request. `near` is empty, and
    nothing is said of `closed`, until `look_closer`: what has an exact like needs neither. `vector` is the question's
    once it was embedded, by the embedder of that id.
    """

    owner: str
    rules: CacheRules
    seen: Seen
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
        if not (rules.near or rules.semantic is not None):
            return
        if not view.question:
            self.closed = Bypass.MEDIA if view.has_media else None
            return
        self.closed, plain = self.seen.wording
        if self.closed is None and rules.near:
            self.near = sha256(self.prefix + b"near" + view.scope + plain).digest()

    @property
    def view(self) -> CacheView:
        return self.seen.view

    @property
    def scope(self) -> bytes:
        """Of all but the last question."""
        return sha256(self.prefix + b"scope" + self.view.scope).digest()

    @property
    def is_semantic(self) -> bool:
        return self.rules.semantic is not None and self.closed is None and bool(self.view.question)

    def alike(self, call: Call) -> Alike:
        """What calls share that may get one answer between them: the longest one that their keys allow, too."""
        request = call.request
        options = bytes(request.members.get("stream_options", b"")) if request.stream else b""
        form = b"stream" + options if request.stream else b""
        if request.output_tokens_added is not None:
            form = b"%d " % request.output_tokens_added + form
        return Alike(self.owner, self.near or self.exact, form)


def asked_of(call: Call, route: Route, rules: CacheRules, views: Views) -> Asked | Bypass:
    """What the cache goes by, or why it leaves the call alone. Raises `RequestError` for tags that are none."""
    principal = call.principal
    if principal is None or not principal.uses_cache:
        return Bypass.OFF
    directives, tags = directives_of(call.headers), tags_of(call.headers)
    if directives.no_store:
        return Bypass.NO_STORE
    seen = views.of(call.request, rules.ignored)
    if seen is None:
        return Bypass.LONG
    why = seen.left_alone(rules)
    if why is not None:
        return why
    owner = owner_of(principal, rules.sharing)
    prefix = _prefix(call, owner, f"group {rules.group}" if rules.group else f"route {route.name}")
    return Asked(owner, rules, seen, directives, tags, prefix, seen.exact(prefix))


def _prefix(call: Call, owner: str, place: str) -> bytes:
    """What is in all digests of a call. Callers who require other things of whoever sees their requests, and those of
    whom other routes inside the route take calls, do not share answers; nor do those whose headers, as far as any
    upstream is shown them, differ.
    """
    requires, passed_on = call.needs.requires, _passed_on(call)
    if requires == NO_REQUIREMENTS and not call.met and not passed_on:
        return _written((owner, place))
    wanted = ["requires", *sorted(requires.regions), "of", *sorted(requires.data_classes)]
    # Callers write these at any length, so they are neither remembered nor kept.
    told = _joined((*wanted, "met", *sorted(call.met), *passed_on))
    return _written((owner, place)) + b"and" + sha256(told).digest()


def _passed_on(call: Call) -> list[str]:
    """The caller's headers that upstreams see, and may answer by."""
    forwarded = call.generation.forwarded
    names = {name for deployment in call.candidates for name in forwarded.get(deployment.id, ())}
    found: list[str] = []
    for name in sorted(names):
        for value in call.headers.getall(name, ()):
            found += ["header", name, value.encode("utf-8", "surrogateescape").hex()]
    return found


@lru_cache(PREFIXES_MAX)
def _written(parts: tuple[str, ...]) -> bytes:
    return _joined(parts)


def _joined(parts: tuple[str, ...]) -> bytes:
    return b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, parts))
