"""Two streams as one: what a caller has of the first, and the second one's events made to go on where it broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from adapters.openai_text import TEXT_KEPT_BYTES
from adapters.openai_usage import read_usage
from adapters.sse import read_event
from policies.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IDENTITY: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_DONE: Final = b"[DONE]"
_PIECES_KEPT: Final = 256


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: dict[str, Any] | None = None
    text: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


class _Seen(NamedTuple):
    """What one event tells: its text, whether it ends the answer, whether it holds nothing but text."""

    text: str
    is_last: bool = False
    is_plain: bool = True


_CHUNK = msgspec.json.Decoder(_Chunk)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]] | None)


class Unjoined(Exception):  # noqa: N818 - nobody's error: the second answer is just another one
    """The second stream cannot go on where the first one broke."""


class Shown:
    """What a caller has been shown of a stream: its text, and how the answer calls itself.

    `is_plain` false: there was more than text, or more text than is kept. `pieces` counts the events that held text.
    """

    def __init__(self) -> None:
        self.is_plain = True
        self.is_finished = False
        self.pieces = 0
        self.identity: dict[str, msgspec.Raw] = {}
        self._text: list[str] = []
        self._chars = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    def note(self, data: bytes) -> None:
        """Whole events, on their way to the caller."""
        if not self.is_plain or self.is_finished:
            return
        for event in _events(data):
            body = read_event(event)[1]
            if body is None or body.startswith(_DONE):
                continue
            seen = _read(body)
            if not self.identity and seen.text:  # what comes before may have no name yet
                self.identify(_FIELDS.decode(body))
            self.add(seen)

    def identify(self, fields: dict[str, msgspec.Raw]) -> None:
        self.identity = {name: fields[name] for name in _IDENTITY if name in fields}

    def add(self, seen: _Seen) -> None:
        self.is_plain = self.is_plain and seen.is_plain
        self.is_finished = self.is_finished or seen.is_last
        if not seen.text:
            return
        self.pieces += 1
        self._chars += len(seen.text)
        self._text.append(seen.text)
        if self._chars > TEXT_KEPT_BYTES:
            self.is_plain = False
            self._text.clear()
        elif len(self._text) > _PIECES_KEPT:
            self._text = ["".join(self._text)]


class Stitch:
    """Makes the events of one more stream continue what was `shown`; ending it is left to who knows that it is the end.

    `join` is given each piece of the new answer's text and says what of it the caller does not have yet, None where the
    answers part; `end` says the same of the end. `spent` is what the streams before have used: the usage that is told
    covers them too, and `has_told_usage` says that it was.
    """

    def __init__(
        self, shown: Shown, join: Callable[[str], str | None], end: Callable[[], str | None], spent: Usage
    ) -> None:
        self.has_told_usage = False
        self._shown = shown
        self._join = join
        self._end = end
        self._spent = spent
        self._has_parted = False

    def take(self, data: bytes) -> bytes:
        """What the caller shall get of these whole events. Raises `Unjoined` once all that came before is given out."""
        if self._has_parted:
            raise Unjoined
        taken = list[bytes]()
        for event in _events(data):
            try:
                taken.append(self._take(event))
            except Unjoined:
                if not any(taken):
                    raise
                self._has_parted = True
                break
        return b"".join(taken)

    def finish(self) -> bytes:
        """What is still owed when the stream is over. Raises `Unjoined` where it ended before it joined."""
        rest = None if self._has_parted else self._rest()
        if rest is None:
            raise Unjoined
        if not rest:
            return b""
        self._shown.add(_Seen(rest))
        choice = {"index": 0, "finish_reason": None}
        is_chat = bytes(self._shown.identity.get("object", b"")) != b'"text_completion"'
        return _event(self._shown.identity, [choice | ({"delta": {"content": rest}} if is_chat else {"text": rest})])

    def _take(self, event: bytes) -> bytes:
        body = read_event(event)[1]
        if body is None:
            return event
        if body.startswith(_DONE):
            return b""
        seen = _read(body)
        if not seen.is_plain:
            raise Unjoined
        text = self._join(seen.text) if seen.text else ""
        rest = self._rest() if seen.is_last and text is not None else ""
        if text is None or rest is None:
            raise Unjoined
        seen = seen._replace(text=text + rest)
        self._shown.add(seen)
        return self._rewritten(_FIELDS.decode(body), seen)

    def _rest(self) -> str | None:
        return "" if self._shown.is_finished else self._end()

    def _rewritten(self, fields: dict[str, msgspec.Raw], seen: _Seen) -> bytes:
        choices = _CHOICES.decode(fields["choices"]) if "choices" in fields else None
        tells_usage = self._add_up(fields) and not choices
        if not (seen.text or seen.is_last or tells_usage):
            return b""
        if not self._shown.identity:
            self._shown.identify(fields)
        own = {name: raw for name, raw in fields.items() if name not in _IDENTITY}
        kept = self._shown.identity | own
        kept.pop("x_groq", None)  # what it tells is of this stream alone
        if choices:
            _say(choices[0], seen.text)
            kept["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return b"data: %b\n\n" % msgspec.json.encode(kept)

    def _add_up(self, fields: dict[str, msgspec.Raw]) -> bool:
        usage = read_usage(msgspec.json.decode(fields["usage"])) if "usage" in fields else None
        if usage is None:
            return False
        self.has_told_usage = True
        fields["usage"] = msgspec.Raw(msgspec.json.encode(_usage_object(add_up(self._spent, usage))))
        return True


def usage_event(shown: Shown, usage: Usage) -> bytes:
    """The chunk that tells a caller who asked for it what all of the answer used."""
    return _event(shown.identity, [], {"usage": _usage_object(usage)})


def add_up(one: Usage, other: Usage) -> Usage:
    """What two attempts used together; an estimate where one of them is."""
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_input_tokens + other.cached_input_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.estimated or other.estimated,
    )


def _event(
    identity: dict[str, msgspec.Raw], choices: list[dict[str, Any]], more: dict[str, Any] | None = None
) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(identity | {"choices": choices} | (more or {}))


def _usage_object(usage: Usage) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    return fields | ({"estimated": True} if usage.estimated else {})


def _say(choice: dict[str, msgspec.Raw], text: str) -> None:
    """Who speaks is known by now; the caller gets the words that it does not have yet."""
    if "text" in choice:
        choice["text"] = msgspec.Raw(msgspec.json.encode(text))
    else:
        choice["delta"] = msgspec.Raw(msgspec.json.encode({"content": text} if text else {}))


def _events(data: bytes) -> Iterator[bytes]:
    if data.find(b"\n\n") + 2 == len(data):
        yield data
        return
    for event in data.split(b"\n\n"):
        if event:
            yield event + b"\n\n"


def _read(body: bytes) -> _Seen:
    """What an event's data tells; whatever cannot be read is not plain."""
    try:
        chunk = _CHUNK.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _Seen("", is_plain=False)
    if not chunk.choices:
        return _Seen("")
    if len(chunk.choices) > 1 or chunk.choices[0].index not in (0, None):
        return _Seen("", is_plain=False)
    choice = chunk.choices[0]
    delta = choice.delta or {}
    said = choice.text if delta.get("content") is None else delta["content"]
    more_than_text = any(value for name, value in delta.items() if name not in ("role", "content"))
    if more_than_text or not isinstance(said, str | None):
        return _Seen("", is_plain=False)
    return _Seen(said or "", is_last=bool(choice.finish_reason))
