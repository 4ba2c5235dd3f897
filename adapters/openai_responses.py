"""Streams of the Responses API: named events up to `response.completed`, which also carries the usage."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.base import NAME_CHARS_KEPT, REASON_CHARS_KEPT, FailedStream
from adapters.openai_events import EventDecoder, broken, truncated
from adapters.openai_usage import read_usage
from adapters.openai_usage_details import service_of

_ENDS: Final = frozenset(("response.completed", "response.incomplete"))
_FAILS: Final = frozenset(("response.failed", "error"))
_LIFECYCLE_ITEMS: Final = frozenset(("message", "reasoning"))


class Response(msgspec.Struct, gc=False):
    """What is read of a response object, whole or inside an event."""

    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None


class Item(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None
    action: Any = None


class Event(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    item: Item | None = None
    response: Response | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(Event)


class ResponsesDecoder(EventDecoder):
    """Decodes a Responses stream. A failed response is a failure, not an answer."""

    _searches = 0

    def _take(self, name: str, data: bytes, event: bytes) -> bytes:
        if data.lstrip().startswith(b"[DONE]"):
            raise FailedStream(truncated())
        read = _read_event(data)
        kind = read.type if type(read.type) is str else name
        if kind in _FAILS or (read.error and not kind):
            raise self._fail_in_band(read.response.error if read.response else msgspec.json.decode(data))
        if read.response is not None:
            self._take_response(read.response)
        if kind in _ENDS:
            self.ended = self.started = True
        elif kind.endswith(".delta"):
            self._take_delta(kind, read.delta)
        elif read.item is not None:
            self._take_item(kind, read.item)
        return event

    def _take_delta(self, kind: str, delta: object) -> None:
        if delta:
            self.started = True
        if isinstance(delta, str) and kind != "response.audio.delta":
            self._text.add(delta)

    def _take_item(self, kind: str, item: Item) -> None:
        if kind.endswith(".done") or item.type not in _LIFECYCLE_ITEMS:
            self.started = True
        if kind.endswith(".added") and isinstance(item.name, str):
            self._text.add(item.name)
        if kind.endswith(".done") and is_search({"type": item.type, "action": item.action}):
            self._searches += 1

    def _take_response(self, response: Response) -> None:
        tally = self.tally
        usage = read_usage(response.usage, response.service_tier, self._searches)
        tally.usage = tally.usage if usage is None else usage
        if response.service_tier:
            tally.service = service_of(response.service_tier)
        if type(response.id) is str and response.id:
            tally.id = response.id[:NAME_CHARS_KEPT]
        if type(response.model) is str and response.model:
            tally.model = response.model[:NAME_CHARS_KEPT]
        if response.status in ("completed", "incomplete"):
            tally.finish_reasons = [finish_reason(response)]


def finish_reason(response: Response) -> str:
    """Why a response stopped: its status, or what it says cut it short."""
    details = response.incomplete_details
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason[:REASON_CHARS_KEPT] if isinstance(reason, str) else str(response.status)


def is_search(item: object) -> bool:
    """Whether an output item is a look-up that is charged for: opening a page that was found is not."""
    if not isinstance(item, dict) or item.get("type") != "web_search_call":
        return False
    action = item.get("action")
    return not isinstance(action, dict) or action.get("type", "search") == "search"


def _read_event(data: bytes) -> Event:
    try:
        return _EVENT.decode(data)
    except msgspec.ValidationError:
        raise broken("The upstream sent a stream event of an unknown shape.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise broken("The upstream sent a stream event that is not JSON.") from None
