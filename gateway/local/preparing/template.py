"""The model's own chat template, run in a sandbox: a GGUF is a download, and its template is a program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import meta

from adapters.dialects import dialect_named, dialect_of
from adapters.schema import InvalidRequest
from gateway.local.preparing.template_sandbox import ALLOWANCE, MAX_ITEMS, MAX_SOURCE_CHARS, Allowance, Sandbox, TooMuch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_ERROR_CHARS = 300
_MAX_INDENT = 16
_OWN_NAMES: Final = frozenset(("messages", "tools", "add_generation_prompt", "bos_token", "eos_token", ALLOWANCE))
_DATE_FORMAT: Final = re.compile(r"(?:%-?[A-Za-z%]|[^%]){0,100}")


class ChatTemplate:
    """Renders conversations as one model was trained to read them.

    `knows_tools` and `knows_calls` say whether it renders tools, and messages that call them; `dialect` is how the
    model calls them itself.
    """

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        """Raises `ValueError` for a template that does not parse."""
        names = {"raise_exception": _refuse, "strftime_now": _now}
        sandbox = Sandbox({"tojson": _to_json, "from_json": json.loads}, names)
        try:
            self._template = sandbox.from_string(source)
            names_read = meta.find_undeclared_variables(sandbox.parse(source))
        # Whatever a foreign program makes Jinja's compiler or Python's trip over, it is the program's fault.
        except (jinja2.TemplateError, SyntaxError, RecursionError, ValueError, MemoryError, AssertionError) as error:
            reason = "it is too long" if len(source) > MAX_SOURCE_CHARS else str(error)[:_MAX_ERROR_CHARS]
            raise ValueError(f"the chat template does not parse: {reason}") from error
        self.knows_tools = "tools" in names_read
        self.knows_calls = "tool_calls" in source
        dialect = dialect_of(source)
        # Who is told of tools in words of ours writes calls as these words say.
        self.dialect = dialect if self.knows_tools else dialect_named("generic", dialect.reasoning)
        self._wants_null = dialect.name == "deepseek"
        self._bos, self._eos = bos, eos

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt. Raises `InvalidRequest` when the template will not have these messages."""
        if taken := _OWN_NAMES.intersection(options or ()):
            message = f"'chat_template_kwargs' may not set `{min(taken)}`."
            raise InvalidRequest(message, param="chat_template_kwargs")
        given = json.dumps([messages, tools, options], ensure_ascii=False, default=str)
        context = {
            **(options or {}),
            "messages": [self._readable(message) for message in messages],
            "tools": tools if self.knows_tools else None,
            "add_generation_prompt": True,
            "bos_token": self._bos,
            "eos_token": self._eos,
            ALLOWANCE: Allowance(len(given)),
        }
        try:
            return self._rendered(context)
        except InvalidRequest:
            raise
        # The template is foreign code: whatever it trips over, this conversation cannot be rendered with it.
        except Exception as error:
            if context["tools"] is None and self.knows_tools and isinstance(error, TypeError):
                # Some walk through the tools without asking whether there are any.
                return self.render(messages, [], options)
            reason = f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARS]
            raise _refusal(reason) from error

    def _rendered(self, context: dict[str, Any]) -> str:
        allowance: Allowance = context[ALLOWANCE]
        parts: list[str] = []
        chars = 0
        for part in self._template.generate(context):
            allowance.spend(len(part))
            chars += len(part)
            if chars > allowance.text_chars:
                raise TooMuch("it makes too much text")
            parts.append(part)
        return "".join(parts)

    def _readable(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message whose calls this template can write."""
        calls = message.get("tool_calls")
        if not isinstance(calls, list):
            return dict(message)
        content = message.get("content")
        if not content and self._wants_null:
            content = None
        return {**message, "content": content, "tool_calls": [_readable_call(call) for call in calls]}


class Arguments(dict[str, Any]):
    """A call's arguments for all templates: those that walk through an object, and those that write JSON as it is."""

    def __str__(self) -> str:
        return _to_json(dict(self))

    def __radd__(self, before: str) -> str:
        return before + str(self)

    def __add__(self, after: str) -> str:
        return str(self) + after


def _readable_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if not isinstance(arguments, dict):
        return call
    return {**call, "function": {**function, "arguments": Arguments(arguments)}}


def _refuse(message: object) -> None:
    raise _refusal(str(message)[:_MAX_ERROR_CHARS])


def _refusal(reason: str) -> InvalidRequest:
    message = f"The model's chat template refuses these messages: {reason}"
    return InvalidRequest(message, param="messages", code="template_error")


def _now(form: str) -> str:
    if not _DATE_FORMAT.fullmatch(form):
        raise ValueError("a date's format is too long")
    return datetime.now().astimezone().strftime(form)


def _to_json(
    value: object,
    indent: int | None = None,
    *,
    ensure_ascii: bool = False,
    sort_keys: bool = False,
    separators: tuple[str, str] | None = None,
) -> str:
    if indent is not None and not 0 <= int(indent) <= _MAX_INDENT:
        raise ValueError("JSON is indented too far")
    return json.dumps(
        value, default=_listed, indent=indent, ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=separators
    )


def _listed(value: object) -> list[object]:
    """What filters like `map` leave behind, as JSON can write it."""
    if isinstance(value, Iterator):
        return list(islice(value, MAX_ITEMS))
    raise TypeError(f"{type(value).__name__} is not JSON")
