"""The model's own chat template, run in a sandbox: a GGUF is a download, and its template is a program."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import meta
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from adapters.schema import InvalidRequest

if TYPE_CHECKING:
    from jinja2.nodes import Node
    from jinja2.parser import Parser

# A template that multiplies its input is cut off by what follows, yet must not fill the memory first.
_MAX_ERROR_CHARS = 300


class _GenerationTag(Extension):
    """`{% generation %}` marks training targets in Hugging Face templates; here its content just passes through."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own interface

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """Renders conversations as one model was trained to read them."""

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        """Raises `ValueError` for a template that does not parse."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
        try:
            self._template = environment.from_string(source)
            self.knows_tools = "tools" in meta.find_undeclared_variables(environment.parse(source))
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template does not parse: {error}") from error
        self._bos, self._eos = bos, eos

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """The prompt. Raises `InvalidRequest` when the template will not have these messages."""
        try:
            return self._template.render(
                messages=messages,
                tools=tools if self.knows_tools else None,
                add_generation_prompt=True,
                bos_token=self._bos,
                eos_token=self._eos,
            )
        except InvalidRequest:
            raise
        # The template is foreign code: whatever it trips over, this conversation cannot be rendered with it.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARS]
            raise _refusal(reason) from error


def _refuse(message: object) -> None:
    raise _refusal(str(message)[:_MAX_ERROR_CHARS])


def _refusal(reason: str) -> InvalidRequest:
    message = f"The model's chat template refuses these messages: {reason}"
    return InvalidRequest(message, param="messages", code="template_error")


def _to_json(value: object, indent: int | None = None, *, ensure_ascii: bool = False, sort_keys: bool = False) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, sort_keys=sort_keys)
