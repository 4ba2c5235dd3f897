"""A kept answer told again: under a name and at a time of its own, whole or as the stream that a provider would send.

What is kept may come from a shared store that somebody else can write to: whatever is not such an answer is None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.cache_pieces import groups, pieces
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DONE: Final = b"data: [DONE]\n\n"
_PREFIXES: Final = {Endpoint.CHAT: "chatcmpl-", Endpoint.COMPLETIONS: "cmpl-"}
_OWN: Final = frozenset(("id", "object", "created", "model", "choices", "usage"))
_THOUGHTS: Final = ("reasoning", "reasoning_content")
_IN_DELTAS: Final = frozenset(("role", "content", "refusal", "annotations", *_THOUGHTS))
_OF_CHOICES: Final = frozenset(("index", "message", "text", "logprobs", "finish_reason"))
_PARALLEL: Final = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
# Names by which clients of Responses tell answers and messages apart; a quote inside of text would be escaped.
_NAMES: Final = re.compile(rb'("(?:id|item_id)"\s*:\s*)"((?:resp|msg)_)[\w-]{1,128}"')

Piece = tuple[dict[str, object], object]
"""What one event says of a choice: its delta (or its text), and the log-probabilities of that."""


class Retelling(msgspec.Struct, frozen=True):
    """`id` is the new call's: clients put together what has the same id. `created` is Unix seconds."""

    id: str
    created: int
    piece_chars: int = 24
    include_usage: bool = False


def renamed(endpoint: Endpoint, body: bytes, telling: Retelling) -> bytes | None:
    """The whole answer under its new name; None where it is no JSON object."""
    try:
        members: dict[str, Any] = _MEMBERS.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if endpoint in _PREFIXES:
        members["id"] = _PREFIXES[endpoint] + telling.id
        members["created"] = telling.created
    if endpoint is not Endpoint.RESPONSES:
        return msgspec.json.encode(members)
    if "created_at" in members:
        members["created_at"] = telling.created
    return renamed_events(msgspec.json.encode(members), telling)


def renamed_events(events: bytes, telling: Retelling) -> bytes:
    """A response, or the events of one, with new ids for it and its messages."""
    suffix = re.sub(r"\W", "", telling.id).encode()
    numbers: dict[bytes, int] = {}

    def rename(match: re.Match[bytes]) -> bytes:
        number = numbers.setdefault(match[0].removeprefix(match[1]), len(numbers))
        return match[1] + b'"' + match[2] + suffix + (b"%02x" % number) + b'"'

    return _NAMES.sub(rename, events)


def unfold(endpoint: Endpoint, body: bytes, telling: Retelling) -> Iterator[bytes] | None:
    """The events of a stream that adds up to this whole answer of chat or completions; None where it is none."""
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    is_chat = endpoint is Endpoint.CHAT
    if endpoint not in _PREFIXES or not isinstance(whole, dict) or not _is_sound(whole.get("choices"), is_chat=is_chat):
        return None
    return _Unfolding(whole, telling, is_chat=is_chat).events()


def _is_sound(choices: object, *, is_chat: bool) -> bool:
    if not isinstance(choices, list) or not choices:
        return False
    if not all(isinstance(choice, dict) for choice in choices):
        return False
    if not is_chat:
        return all(isinstance(choice.get("text"), str) for choice in choices)
    return all(isinstance(choice.get("message"), dict) for choice in choices)


class _Unfolding:
    def __init__(self, whole: dict[str, Any], telling: Retelling, *, is_chat: bool) -> None:
        self._whole = whole
        self._telling = telling
        self._is_chat = is_chat
        endpoint = Endpoint.CHAT if is_chat else Endpoint.COMPLETIONS
        head: dict[str, object] = {
            "id": _PREFIXES[endpoint] + telling.id,
            "object": "chat.completion.chunk" if is_chat else "text_completion",
            "created": telling.created,
            "model": whole.get("model"),
        }
        others = {name: value for name, value in whole.items() if name not in _OWN}
        # What a provider says of the answer in many words is told once.
        long = {name: value for name, value in others.items() if isinstance(value, dict | list)}
        head |= {name: value for name, value in others.items() if name not in long}
        self._first = _begin(head | long)
        self._head = _begin(head)
        # A caller who asked for usage is told in every chunk that it is not this one's turn yet.
        self._tail = b'],"usage":null}\n\n' if telling.include_usage else b"]}\n\n"

    def events(self) -> Iterator[bytes]:
        head = self._first
        for event in self._choices():
            yield head + event + self._tail
            head = self._head
        usage = self._whole.get("usage")
        if self._telling.include_usage and usage:
            yield self._head + b'],"usage":' + msgspec.json.encode(usage) + b"}\n\n"
        yield _DONE

    def _choices(self) -> Iterator[bytes]:
        choices = [(_index(choice, number), choice) for number, choice in enumerate(self._whole["choices"])]
        if self._is_chat:
            for index, choice in choices:
                yield self._event(index, {"delta": _opening(choice["message"])}, None)
        for index, choice in choices:
            told = self._told(choice["message"], choice) if self._is_chat else self._text(choice)
            for what, logprobs in told:
                yield self._event(index, what, logprobs)
            yield self._ending(index, choice)

    def _ending(self, index: int, choice: dict[str, Any]) -> bytes:
        what: dict[str, object] = {"delta": {}} if self._is_chat else {"text": ""}
        others = {name: value for name, value in choice.items() if name not in _OF_CHOICES}
        return self._event(index, what, None, choice.get("finish_reason"), others)

    def _event(
        self,
        index: int,
        what: dict[str, object],
        logprobs: object,
        reason: object = None,
        others: dict[str, object] | None = None,
    ) -> bytes:
        end = {"logprobs": logprobs, "finish_reason": reason}
        return msgspec.json.encode({"index": index} | what | end | (others or {}))

    def _told(self, message: dict[str, Any], choice: dict[str, Any]) -> Iterator[Piece]:
        for delta in self._thoughts(message):
            yield {"delta": delta}, None
        logprobs = choice.get("logprobs")
        for name in ("content", "refusal"):
            told = message.get(name)
            tokens = logprobs.get(name) if isinstance(logprobs, dict) else None
            if isinstance(told, str) and told:
                yield from self._with_logprobs(name, told, tokens)
            elif told or tokens:
                other = "refusal" if name == "content" else "content"
                yield {"delta": {name: told} if told else {}}, {name: tokens, other: None} if tokens else None
        if message.get("annotations"):
            yield {"delta": {"annotations": message["annotations"]}}, None

    def _thoughts(self, message: dict[str, Any]) -> Iterator[dict[str, object]]:
        """Servers that write thoughts under both names write them into the same events."""
        told = {name: message[name] for name in _THOUGHTS if message.get(name)}
        texts = {name: text for name, text in told.items() if isinstance(text, str)}
        if len(texts) > 1 and len(set(texts.values())) == 1:
            for piece in pieces(texts[_THOUGHTS[0]], self._telling.piece_chars):
                yield dict.fromkeys(texts, piece)
            return
        for name, text in told.items():
            parts = pieces(text, self._telling.piece_chars) if isinstance(text, str) else (text,)
            for part in parts:
                yield {name: part}

    def _with_logprobs(self, name: str, text: str, entries: object) -> Iterator[Piece]:
        """Tokens and text go together where they are the same; else all tokens go with the first piece."""
        other = "refusal" if name == "content" else "content"
        tokens = _tokens(entries)
        if isinstance(entries, list) and tokens and "".join(tokens) == text:
            for first, end in groups(tokens, self._telling.piece_chars):
                yield {"delta": {name: "".join(tokens[first:end])}}, {name: entries[first:end], other: None}
            return
        due: object = {name: entries, other: None} if entries else None
        for piece in pieces(text, self._telling.piece_chars):
            yield {"delta": {name: piece}}, due
            due = None

    def _text(self, choice: dict[str, Any]) -> Iterator[Piece]:
        text, logprobs = choice["text"], choice.get("logprobs")
        lists = _parallel(logprobs)
        tokens = _strings(lists.get("tokens"))
        if tokens and "".join(tokens) == text:
            for first, end in groups(tokens, self._telling.piece_chars):
                told = {name: part[first:end] for name, part in lists.items()}
                yield {"text": "".join(tokens[first:end])}, {**(logprobs or {}), **told}
            return
        for piece in pieces(text, self._telling.piece_chars):
            yield {"text": piece}, logprobs
            logprobs = None


def _begin(head: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":['


def _opening(message: dict[str, Any]) -> dict[str, object]:
    """Who speaks, and whatever else there is beside texts that come in pieces."""
    others = {name: value for name, value in message.items() if name not in _IN_DELTAS}
    content = "" if isinstance(message.get("content"), str) else None
    return {"role": message.get("role") or "assistant", "content": content, "refusal": None} | others


def _index(choice: dict[str, Any], number: int) -> int:
    index = choice.get("index", number)
    return index if type(index) is int else number


def _tokens(entries: object) -> list[str] | None:
    if not isinstance(entries, list):
        return None
    return _strings([entry.get("token") if isinstance(entry, dict) else None for entry in entries])


def _strings(values: object) -> list[str] | None:
    """The values, where all of them are strings and there is one."""
    if not isinstance(values, list) or not values:
        return None
    strings = [value for value in values if isinstance(value, str)]
    return strings if len(strings) == len(values) else None


def _parallel(logprobs: object) -> dict[str, list[Any]]:
    """The lists of a completion's log-probabilities, by name; empty where they are not as long as each other."""
    if not isinstance(logprobs, dict):
        return {}
    lists = {name: logprobs[name] for name in _PARALLEL if isinstance(logprobs.get(name), list)}
    return lists if len({len(part) for part in lists.values()}) == 1 else {}
