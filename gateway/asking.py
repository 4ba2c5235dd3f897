"""One call as choosing sees it: who asks, what keeps it together with other calls, and how its conversation begins."""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from policies.choosing import NOBODY, Asked, Caller
from policies.expectations import BYTES_PER_TOKEN
from policies.matching import inner_routes
from policies.route_rules import AffinityBy
from policies.vocabulary import ONLY_READ, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from policies.vocabulary import Route

HASHED_BYTES: Final = 256 * 1024
CACHED_TOKENS_MIN: Final = 1024
"""Providers that cache prompts by themselves do so from about this length on; what is shorter saves nothing."""
SESSION_CHARS: Final = 256
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError)
_TEXT: Final = msgspec.json.Decoder(str)
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long
_PARTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class _Role(msgspec.Struct, gc=False):
    role: Any = None


_ROLE: Final = msgspec.json.Decoder(_Role)


class Wants(NamedTuple):
    """What a route's choosing goes by besides live numbers, so that nothing else is looked for in a call."""

    caller: bool = False
    user: bool = False
    header: str = ""
    prefix: bool = False
    cost: bool = False


def wants_of(route: Route) -> Wants:
    """For a route and all routes inside it. Of headers that name a session, the outermost route's counts."""
    found = [route, *inner_routes(route)]
    affinities = [one.affinity for one in found if one.affinity is not None]
    by = {affinity.by for affinity in affinities}
    sticks = any(one.strategy is Strategy.STICKY for one in found)
    by_cost = any(one.strategy in (Strategy.CHEAPEST, Strategy.SPILL) for one in found)
    headers = (affinity.header for affinity in affinities if affinity.by is AffinityBy.HEADER)
    return Wants(
        caller=sticks or bool(by & {AffinityBy.KEY, AffinityBy.USER}),
        user=AffinityBy.USER in by,
        header=next(headers, ""),
        prefix=AffinityBy.PREFIX in by or by_cost,
        cost=by_cost,
    )


def asked_of(call: Call, route: Route, wants: Wants) -> Asked:
    """Who was ruled out before stays told."""
    rejected = () if call.choice is None else call.choice.rejected
    caller = _caller(call, wants) if wants.caller else NOBODY
    session = call.headers.get(wants.header, "")[:SESSION_CHARS] if wants.header else ""
    prefix, tokens = _prefix(call.request) if wants.prefix else ("", 0)
    now_s = time.time() if wants.cost else 0.0
    return _new(Asked, (route, call.candidates, call.needs, caller, session, call.met, rejected, prefix, tokens, now_s))


def _caller(call: Call, wants: Wants) -> Caller:
    """Without keys, callers are told apart by where they come from."""
    principal = call.principal
    key_id = call.peer() if principal is None else principal.key_id
    own = (None if principal is None else principal.user) or ""
    said = _own_user(call.request) if wants.user else ""
    # A name that callers choose is theirs alone: who says the same with another key is somebody else.
    user = f"{key_id}\0{said}" if said else own
    return Caller(key_id, user, "" if principal is None else principal.team or "")


def _own_user(request: InferenceRequest) -> str:
    raw = request.members.get("user")
    try:
        return "" if raw is None else _TEXT.decode(raw)[:SESSION_CHARS]
    except _UNREADABLE:
        return ""


def _prefix(request: InferenceRequest) -> tuple[str, int]:
    """The digest of the conversation up to its first question, which stays while it grows, and what a provider's cache
    may save on it, in tokens.
    """
    digest = blake2b(digest_size=12)
    size = 0
    for piece in _beginning(request):
        digest.update(piece[: HASHED_BYTES - size])
        size = min(HASHED_BYTES, size + len(piece))
    tokens = size // BYTES_PER_TOKEN
    return (digest.hexdigest(), tokens if tokens >= CACHED_TOKENS_MIN else 0) if size else ("", 0)


def _beginning(request: InferenceRequest) -> Iterator[bytes | memoryview]:
    members = request.members
    if request.endpoint in ONLY_READ:
        return
    for name in ("tools", "instructions"):
        if name in members:
            yield memoryview(members[name])
    said = members.get("messages") or members.get("input") or members.get("prompt")
    if said is None:
        return
    try:
        parts: Iterable[msgspec.Raw] = _PARTS.decode(said)
    except _UNREADABLE:
        yield memoryview(said)  # a text, or what its upstream will refuse
        return
    for part in parts:
        yield memoryview(part)
        if _is_question(part):
            return


def _is_question(part: msgspec.Raw) -> bool:
    try:
        return bool(_ROLE.decode(part).role == "user")
    except _UNREADABLE:
        return True
