"""What callers are told of the cost of their calls: a header, in streams a comment, and `usage.cost` where they ask.

An amount is told when it is the whole of it: every attempt of the call is over, counted and priced, the failed ones
too. Otherwise nothing is said, never a zero or a part. Amounts are in USD, exact to the nano-USD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from multidict import istr

from adapters.sse import EventSplitter, read_event
from gateway.records.settlement import cost_so_far
from gateway.usd import usd_text
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.server import Headers

COST: Final = "x-pointsman-cost-usd"
SAVED: Final = "x-pointsman-cost-saved-usd"
ASKED: Final = istr("x-pointsman-cost")
"""`body`: the caller wants the cost in the answer's usage."""
_DONE: Final = b"[DONE]"
_DONE_WITHIN_BYTES: Final = 24
_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any: Final = msgspec.json.Decoder(dict[str, Any]).decode


def cost_headers(call: Call) -> Headers:
    """For the head of an answer: what a whole answer or an error cost, and what one that was kept has saved."""
    if not call.generation.config.telemetry.cost_header:
        return []
    told = [] if _goes_on(call) or (nanousd := _cost_nanousd(call)) is None else [(COST, usd_text(nanousd))]
    used = call.cached.saved if call.cached is not None and call.cached.is_hit else None
    if used is not None and used.cost_nanousd is not None:
        told.append((SAVED, usd_text(used.cost_nanousd)))
    return told


def cost_lines(call: Call) -> str:
    """The same as lines of a head."""
    if call.cached is None and call.attempts and not call.request.stream:  # what nearly every call amounts to
        nanousd = cost_so_far(call) if call.generation.config.telemetry.cost_header else None
        return "" if nanousd is None else f"{COST}: {usd_text(nanousd)}\r\n"
    return "".join([f"{name}: {value}\r\n" for name, value in cost_headers(call)])


def body_told(call: Call, body: bytes) -> bytes:
    """A whole answer as it came, with its cost in its usage where the caller, its key or its route wants that."""
    if not _wants_body(call) or (nanousd := _cost_nanousd(call)) is None:
        return body
    try:
        members = _decode(body)
        return msgspec.json.encode(members) if _fill(members, nanousd) else body
    except (msgspec.MsgspecError, RecursionError):
        return body


class StreamCost:
    """Says within a stream what it cost, once that is known. It adds comments, and changes no event that is not asked
    for.
    """

    __slots__ = ("_call", "_in_body", "_is_told")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._is_told = not call.generation.config.telemetry.cost_header or not _goes_on(call)
        self._in_body = _wants_body(call)

    def over(self, data: bytes) -> bytes:
        """Whole events as they go on, the comment before the end marker."""
        if self._in_body and b'"usage"' in data and data.endswith(b"\n\n"):
            data = b"".join([_filled(event, self._call) for event in EventSplitter().feed(data)])
        if self._is_told or _DONE not in data[-_DONE_WITHIN_BYTES:]:
            return data
        at = data.rfind(b"data:")
        if at < 0 or data[at + 5 :].strip() != _DONE or (at and data[at - 2 : at] != b"\n\n"):
            return data
        return data[:at] + self.last() + data[at:]

    def last(self) -> bytes:
        """The comment, where it was not told before."""
        nanousd = None if self._is_told else _cost_nanousd(self._call)
        self._is_told = True
        return b"" if nanousd is None else f": {COST} {usd_text(nanousd)}\n\n".encode()


def _goes_on(call: Call) -> bool:
    """Whether the answer is still being made while its head goes out."""
    return call.request.stream and bool(call.attempts) and call.status < 400


def _cost_nanousd(call: Call) -> int | None:
    """Who was answered without an attempt of their own owes nothing."""
    if call.attempts:
        return cost_so_far(call)
    is_kept = call.replay_of is not None or (call.cached is not None and call.cached.is_hit)
    return 0 if is_kept else None


def _wants_body(call: Call) -> bool:
    route, principal = call.route, call.principal
    if (route is not None and route.cost_in_body) or (principal is not None and principal.cost_in_body):
        return True
    asked = call.headers.get(ASKED)
    return asked is not None and asked.strip().lower() == "body"


def _filled(event: bytes, call: Call) -> bytes:
    """The event with the cost so far in its usage, if it has one; else as it is."""
    name, data = read_event(event)
    if not data or b'"usage"' not in data or (nanousd := _cost_nanousd(call)) is None:
        return event
    try:
        members = _decode(data)
        if call.request.endpoint is not Endpoint.RESPONSES:
            is_filled = _fill(members, nanousd)
        else:
            response = _decode(members.get("response", b"{}"))
            is_filled = _fill(response, nanousd)
            members["response"] = msgspec.Raw(msgspec.json.encode(response))
    except (msgspec.MsgspecError, RecursionError):
        return event
    if not is_filled:
        return event
    return (f"event: {name}\n".encode() if name else b"") + b"data: %b\n\n" % msgspec.json.encode(members)


def _fill(members: dict[str, msgspec.Raw], nanousd: int) -> bool:
    """Whether there is a usage for it to be filled in."""
    usage = members.get("usage")
    if usage is None or usage == b"null":
        return False
    filled = _decode_any(usage) | {"cost": msgspec.Raw(usd_text(nanousd).encode())}
    members["usage"] = msgspec.Raw(msgspec.json.encode(filled))
    return True
