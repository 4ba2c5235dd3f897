"""What was said in a call, on its attempts' spans, as far as its key may have it seen. Nothing, unless somebody asked.

Built with the spans, in their thread and for kept traces only: no call keeps anything for it that it would not anyway.
A text is cut before it is looked through, and again behind, so that no secret can hide in being cut in two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.said import input_messages, instructions, output_messages, tool_definitions
from gateway.signals.conventions import Attr
from gateway.signals.span_values import Shown, json_text
from policies.redaction import redact
from policies.route_rules import Content

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.base import Tally
    from adapters.schema import InferenceRequest
    from gateway.keys.virtual_keys import Hmac
    from gateway.records.settlement import SettledCall, Settlement
    from gateway.signals.span_values import Span, Value
    from policies.content import ContentRules

CUT: Final = "…[cut]"
EARLIER: Final = "[cut: {} earlier messages]"
MARGIN_CHARS: Final = 4_096
"""Read beyond what is shown, since what is a secret shows by how it goes on."""
PART_BYTES: Final = 48
"""About what a part takes besides its text."""
DEPTH_MAX: Final = 12


class ContentCapture:
    """`mac` makes the digests by which equal texts are known."""

    def __init__(self, rules: ContentRules, mac: Hmac) -> None:
        self._rules = rules
        self._mac = mac

    def added(self, settled: SettledCall, spans: list[Span]) -> list[Span]:
        """These spans of the call, those of its attempts with what they may show."""
        level = self._rules.level(settled.call.principal)
        # What the cache asks for by itself may hold the words of anybody.
        if level is Content.NONE or settled.call.made_for is not None:
            return spans
        attempts = iter(settled.attempts)
        return [span if span.told is None else self._with(settled, next(attempts), span, level) for span in spans]

    def _with(self, settled: SettledCall, attempt: Settlement, span: Span, level: Content) -> Span:
        request, tally = attempt.attempt.request or settled.call.request, attempt.attempt.tally
        if level is Content.HASH:
            return span._replace(attributes=span.attributes | self._digests(request, tally))
        shown = shown_of(request, tally, redact if level is Content.REDACTED else str, self._rules.bytes_max)
        told = None if span.told is None else span.told._replace(shown=shown)
        return span._replace(attributes=span.attributes | _attributes(shown, level), told=told)

    def _digests(self, request: InferenceRequest, tally: Tally | None) -> dict[str, Value]:
        """Of what was said, however it was written down, so that the same prompt is known again."""
        attributes: dict[str, Value] = {Attr.CONTENT_LEVEL: Content.HASH.value}
        sides = (
            (Attr.CONTENT_INPUT_HASH, [*instructions(request), *input_messages(request)]),
            (Attr.CONTENT_OUTPUT_HASH, [] if tally is None else output_messages(tally)),
        )
        for name, said in sides:
            if said:
                attributes[name] = self._mac.digest(msgspec.json.encode(said, order="sorted")).hex()
        return attributes


def shown_of(request: InferenceRequest, tally: Tally | None, show: Callable[[str], str], bytes_max: int) -> Shown:
    """What `show` makes of all that was said, at most `bytes_max` of it a side: the newest messages before others."""
    room = Room(show, bytes_max)
    system = [room.fit(part) for part in instructions(request)]
    asked = _newest(room, input_messages(request))
    tools = [room.fit(tool) for tool in tool_definitions(request) if room.left > 0]
    answer = Room(show, bytes_max)
    answered = [answer.fit(message) for message in ([] if tally is None else output_messages(tally))]
    return Shown(asked, answered, system, tools)


def _newest(room: Room, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for message in reversed(messages):
        if room.left <= 0:
            earlier = EARLIER.format(len(messages) - len(kept))
            kept.append({"role": "system", "parts": [{"type": "text", "content": earlier}]})
            break
        kept.append(room.fit(message))
    return kept[::-1]


class Room:
    """How much may still be shown of one side. What does not fit is cut, with a mark."""

    def __init__(self, show: Callable[[str], str], bytes_max: int) -> None:
        self.left = bytes_max
        self._show = show

    def fit(self, value: dict[str, Any]) -> dict[str, Any]:
        return {name: self._any(inner, 0) for name, inner in value.items()}

    def _any(self, value: Any, depth: int) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, str):
            return value if value in _WORDS else self._text(value)
        if depth >= DEPTH_MAX or (self.left <= 0 and isinstance(value, dict | list)):
            return CUT
        if isinstance(value, dict):
            self.left -= PART_BYTES
            return {self._key(key): self._any(inner, depth + 1) for key, inner in self._some(value.items())}
        if isinstance(value, list):
            return [self._any(inner, depth + 1) for inner in self._some(value)]
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = self._show(str(value))  # the number of a card is one
            return value if shown == str(value) else shown
        return value

    def _key(self, key: str) -> str:
        return key if key in _WORDS else self._text(key)

    def _some(self, values: Any) -> Any:  # noqa: ANN401 - a list or a dict's items
        """As many as there is room for."""
        for value in values:
            if self.left <= 0:
                return
            self.left -= 4
            yield value

    def _text(self, text: str) -> str:
        most = max(0, self.left)
        read = text[: most + MARGIN_CHARS]
        shown = self._show(read)
        if len(read) < len(text):  # its end may be the beginning of something
            shown = shown[: max(0, len(shown) - MARGIN_CHARS)]
        data = shown.encode("utf-8", "replace")
        self.left -= len(data)
        if len(data) <= most and len(read) == len(text):
            return data.decode()
        return data[:most].decode("utf-8", "ignore") + CUT


_WORDS: Final = frozenset(
    {"type", "role", "finish_reason", "modality", "parts", "content", "name", "arguments", "id", "response"}
    | {"description", "parameters", "text", "reasoning", "tool_call", "tool_call_response", "blob", "function"}
    | {"system", "developer", "user", "assistant", "tool", "stop", "length", "tool_calls", "image", "audio"}
)
"""Words of the form itself: nobody's, and never cut."""


def _attributes(shown: Shown, level: Content) -> dict[str, Value]:
    sides = (
        (Attr.INPUT_MESSAGES, shown.asked),
        (Attr.OUTPUT_MESSAGES, shown.answered),
        (Attr.SYSTEM_INSTRUCTIONS, shown.instructions),
        (Attr.TOOL_DEFINITIONS, shown.tools),
    )
    told: dict[str, Value] = {Attr.CONTENT_LEVEL: level.value}
    return told | {name: json_text(said) for name, said in sides if said}
